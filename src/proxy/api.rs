//! The API calls of integrations: read, verified, and handed to the call's own module.
//!
//! The order is BBB's: content type and checksum first, then the parameters, then what the call is about.

mod ask;
mod create;
mod documents;
mod join;
mod message;
pub(super) mod read;
mod recordings;
mod safe;
pub(crate) mod spec;
mod text_tracks;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::{
    Gateway,
    answer::Answer,
    asked::Asked,
    grant,
    held::{Charge, Unread},
    pages::wants_page,
};
use crate::{
    bbb::{
        answer::Failure,
        checksum::{self, InForm},
        documents::Refused,
        params::Rejected,
        query::Params,
    },
    domain::{denial::Denial, ids::ServerId},
    metrics::{Call, Outcome},
    net::rates::RateOf,
    upstream::Incoming,
};
use safe::{is_prefetch, not_ahead, preview};
use spec::Spec;

/// A call whose checksum fits.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) asked: Asked,
    /// The name of the credential that signed it.
    pub(crate) credential: Arc<str>,
    /// Query and form together.
    pub(crate) params: Params,
    /// The XML body of a `create`, and how many documents are in it.
    pub(crate) modules: Option<(Bytes, u32)>,
    /// It is a join that the gateway itself has made the address of: nobody's secret has signed it.
    pub(crate) granted: bool,
    /// What its body is charged for, until it is answered.
    pub(crate) _charge: Option<Charge>,
}

/// Why a call is not acted on.
enum Unfit {
    Failure(Failure),
    /// The checksum in its form does not fit.
    Form(Failure, Box<InForm>),
    Denial(Denial),
    Rejected(Rejected),
}

impl Unfit {
    fn answer(self, call: Call) -> Answer {
        match self {
            Self::Failure(failure) | Self::Form(failure, _) => Answer::failure(call, failure),
            Self::Denial(denial) => Answer::denied(call, denial),
            Self::Rejected(rejected) => {
                let mut answer = Answer::failed(call, Outcome::Refused, "validationError", &rejected.to_string());
                answer.reason = "validationError";
                answer
            }
        }
    }
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Denial> for Unfit {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

impl From<Rejected> for Unfit {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<Unread> for Unfit {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Broken => Failure::BODY.into(),
            Unread::Slow => Failure::BODY_SLOW.into(),
            Unread::TooLarge => Denial::TooLarge.into(),
            Unread::NoRoom => Denial::Overloaded.into(),
        }
    }
}

impl From<Refused> for Unfit {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed => Failure::MODULES.into(),
            Refused::Address => Failure::DOCUMENT_ADDRESS.into(),
            Refused::TooMany => Denial::DocumentLimitReached.into(),
        }
    }
}

impl Gateway {
    /// Answers an API call by its name.
    pub(crate) async fn api(self: &Arc<Self>, asked: Asked, name: &str, body: Incoming) -> Answer {
        let Some(spec) = Spec::find(name) else {
            let is_hook = name == "hooks" || name.starts_with("hooks/");
            let failure = if is_hook { Failure::UNSUPPORTED } else { Failure::UNKNOWN_CALL };
            return Answer::failure(Call::Unsupported, failure);
        };
        let call = spec.call;
        // Asked for only where it matters.
        let fits = spec.allows(&asked.head.method, false);
        let before_3 = !fits && spec.differs_before_3() && self.has_before_3(&asked);
        if !fits && !spec.allows(&asked.head.method, before_3) {
            return spec.wrong_method(before_3);
        }
        if matches!(call, Call::InsertDocument | Call::PutRecordingTextTrack) {
            return Box::pin(self.with_body(&asked, spec, body)).await;
        }
        if is_prefetch(&asked.head.headers) && spec.has_effects() {
            return not_ahead(call);
        }
        let granted = if call == Call::Join { self.granted(&asked).await } else { Ok(None) };
        let granted = match granted {
            Ok(granted) => granted,
            Err(denial) => return self.refuse_join(&asked, &form_of_refusal(&asked), denial.into()),
        };
        if let Some(params) = granted {
            drop(body);
            if asked.head.method == Method::HEAD {
                return preview(call);
            }
            let granted =
                Verified { credential: "".into(), params, modules: None, granted: true, _charge: None, asked };
            return Box::pin(self.join(granted)).await;
        }
        let read = match read::verify(&asked, spec, body, &self.bodies).await {
            Ok(read) => read,
            Err(unfit) => return self.unfit(spec, &asked, unfit),
        };
        self.metrics.tenant(&asked.tenant.id).use_secret(&read.signer.secret.label, asked.now);
        if asked.head.method == Method::HEAD && spec.has_effects() {
            return preview(call);
        }
        let credential = Arc::clone(&read.signer.credential.name);
        let (params, modules, charge) = (read.params, read.modules, read.charge);
        let verified = Verified { credential, params, modules, granted: false, _charge: charge, asked };
        match call {
            Call::Create => self.create(verified).await,
            Call::Join => Box::pin(self.join(verified)).await,
            Call::GetMeetings | Call::GetSessions => self.list(call, &verified).await,
            Call::End | Call::IsMeetingRunning | Call::GetMeetingInfo => self.ask(call, &verified).await,
            Call::SendChatMessage => self.send_chat_message(&verified).await,
            Call::GetRecordings => self.recordings(&verified).await,
            Call::PublishRecordings | Call::DeleteRecordings | Call::UpdateRecordings => {
                self.change_recordings(call, &verified).await
            }
            Call::GetRecordingTextTracks => self.text_tracks(&verified).await,
            _ => Answer::failure(Call::Unsupported, Failure::UNKNOWN_CALL),
        }
    }

    /// The parameters of a join whose address the gateway has made for this run of this tenant's meeting.
    ///
    /// # Errors
    /// See [`Gateway::meeting`].
    async fn granted(&self, asked: &Asked) -> Result<Option<Params>, Denial> {
        let Some((query, grant)) = grant::split(asked.query()) else { return Ok(None) };
        let Ok(params) = Params::parse(query.as_bytes()) else { return Ok(None) };
        let Some(ext_id) = params.get("meetingID") else { return Ok(None) };
        let meeting = self.meeting(asked.account(), ext_id).await?;
        let internal_id = meeting.as_ref().and_then(|meeting| meeting.internal_id());
        let is_granted = internal_id.is_some_and(|id| self.grants.verify(&asked.tenant.id, id, query, grant));
        Ok(is_granted.then_some(params))
    }

    /// Whether a server that this tenant's meetings run on, or may run on, is older than 3.0.
    fn has_before_3(&self, asked: &Asked) -> bool {
        let is_before_3 = |server: &ServerId| self.live.servers.of(server).is_before_3();
        asked.directory.servers_of(&asked.tenant).any(|server| is_before_3(&server.id))
            || self.live.servers_of(&asked.tenant.id).iter().any(|(server, _)| is_before_3(server))
    }

    /// A call that is not acted on. A person who follows a join link gets a page; no address of the query is gone to,
    /// since nobody vouches for it.
    fn unfit(&self, spec: &Spec, asked: &Asked, unfit: Unfit) -> Answer {
        let is_checksum = matches!(
            &unfit,
            Unfit::Failure(failure) | Unfit::Form(failure, _) if failure.key == Failure::CHECKSUM.key
        );
        if is_checksum && let Some(limited) = self.fails_too_often(asked, spec.call, RateOf::WrongChecksums) {
            return limited;
        }
        if is_checksum
            && asked.query().len() <= EXPLAINED_BYTES_MAX
            && self.metrics.tenant(&asked.tenant.id).may_explain(asked.now)
        {
            let form = if let Unfit::Form(_, form) = &unfit { Some(&**form) } else { None };
            explain(asked, spec.name(), form);
        }
        match unfit {
            Unfit::Failure(failure) | Unfit::Form(failure, _)
                if spec.call == Call::Join && wants_page(&asked.head.headers) =>
            {
                self.join_page(asked, failure.key, failure.message)
            }
            unfit => unfit.answer(spec.call),
        }
    }
}

/// A longer query is no integration's that has to be mended.
const EXPLAINED_BYTES_MAX: usize = 8 * 1024;

/// The parameter of an unverified join that selects the form of a refusal: XML or a redirect.
fn form_of_refusal(asked: &Asked) -> Params {
    let mut form = Params::default();
    if let Ok(params) = Params::parse(asked.query().as_bytes())
        && let Some(redirect) = params.get("redirect")
    {
        form.set("redirect", redirect);
    }
    form
}

/// Tells the operator what is wrong with a checksum, at most once a second and tenant: it costs some digests, and whoever
/// has no secret can ask for it. What was hashed may hold names and passwords of a meeting: it is
/// told only to who asks for it (`ANTEROOM_LOG=checksum=debug`).
fn explain(asked: &Asked, name: &str, form: Option<&InForm>) {
    let found = checksum::diagnose(name, asked.query(), form, &asked.tenant.credentials);
    let (tenant, algorithm, would_fit, secret) = (&asked.tenant.id, found.algorithm, found.would_fit, &*found.secret);
    let compared_over = if found.hashed.is_empty() { "an empty query" } else { "the query" };
    let found_in = found.found_in;
    tracing::warn!(
        target: "checksum",
        %tenant,
        call = name,
        found_in,
        algorithm,
        compared_over,
        would_fit,
        secret,
        "checksum mismatch"
    );
    tracing::debug!(target: "checksum", %tenant, call = name, hashed = found.hashed, "input of the expected checksum");
}
