//! A call's way in: its checksum verified on the raw bytes, its body read, query and form put together.

use std::{collections::HashMap, convert::Infallible};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, header::CONTENT_TYPE};

use super::spec::{Family, Spec};
use crate::{
    bbb::{
        answer::{Failure, UnfitForm},
        checksum::{
            self, Signer,
            form::{Covers, SignedForm, verify_form},
        },
        documents::{self, Clean},
        params::{may_fetch, may_set},
        query::{Params, sanitise},
    },
    domain::denial::Denial,
    metrics::Call,
    proxy::{
        asked::Asked,
        held::{Bodies, Charge},
    },
    upstream::Incoming,
};

/// The body of a call: what BBB's nginx takes is 1 MB, its documentation speaks of 2.
pub(super) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A call whose checksum fits.
pub(super) struct Read<'a> {
    pub(super) signer: Signer<'a>,
    /// Query and form together, without the checksum.
    pub(super) params: Params,
    /// The XML body of a `create`, cleaned, and how many documents are in it.
    pub(super) modules: Option<(Bytes, u32)>,
    /// What the body is charged for.
    pub(super) charge: Option<Charge>,
}

/// A body as far as a call has one.
enum Sent {
    Nothing,
    Form(Bytes),
    Multipart(Bytes, String),
    Modules(Bytes),
    /// Of a type that the call does not take.
    Other,
}

/// Verifies a call and reads all of it. A body is read for a caller who has shown the secret, or whose checksum can only
/// be there: some clients put all parameters into the form (docs/reference/bbb-protocol.md, "POST bodies").
pub(super) async fn verify<'a>(
    asked: &'a Asked,
    spec: &Spec,
    body: Incoming,
    bodies: &Bodies,
) -> Result<Read<'a>, Failure> {
    let (name, credentials) = (spec.name(), &asked.tenant.credentials);
    let Ok(in_query) = checksum::verify(name, asked.query(), credentials, asked.now) else {
        if spec.family == Family::Recordings {
            present(spec.call, &Params::parse(asked.query().as_bytes())?)?;
        }
        return Err(mismatch(spec));
    };
    let (sent, charge) = sent(asked, spec, body, bodies, in_query.is_some()).await?;
    let mut params = Params::parse(asked.query().as_bytes())?;
    params.remove("checksum");
    let merged = match &sent {
        Sent::Form(form) => params.extend(form),
        Sent::Multipart(form, boundary) => {
            // Boxed: seldom, and no other call is to have room for it.
            Box::pin(extend_multipart(&mut params, form.clone(), boundary)).await
        }
        Sent::Nothing | Sent::Modules(_) | Sent::Other => Ok(()),
    };
    let in_form = params.remove("checksum");
    let has_form = matches!(sent, Sent::Form(_) | Sent::Multipart(..));
    let unfit = |fits_query| unfit(spec, in_form.as_deref(), &params, fits_query);
    let signer = match (in_query, &in_form) {
        (Some(_), Some(_)) => return Err(unfit(true)),
        (Some(_), None) if has_form && !takes_uncovered(asked, spec) => return Err(unfit(true)),
        (Some(signer), None) => signer,
        (None, None) => return Err(missing(spec)),
        (None, Some(checksum)) => {
            if spec.family == Family::Recordings {
                present(spec.call, &params)?;
            }
            let raw = if let Sent::Form(raw) = &sent { Some(&**raw) } else { None };
            let form = SignedForm { checksum, raw, params: &params };
            match verify_form(name, asked.query(), &form, credentials, asked.now) {
                Ok((_, Covers::Query)) if !takes_uncovered(asked, spec) => return Err(unfit(true)),
                Ok((signer, _)) => signer,
                Err(_) => return Err(unfit(false)),
            }
        }
    };
    // In BBB's order: the type of the body comes before what is in it.
    if matches!(sent, Sent::Other) {
        return Err(Failure::CONTENT_TYPE);
    }
    merged?;
    if spec.family == Family::Recordings {
        present(spec.call, &params)?;
    }
    let modules = match sent {
        Sent::Modules(body) => {
            let rules = &asked.tenant.rules;
            let Clean { xml, documents, dropped } =
                documents::clean(&body, |url| may_fetch(rules, url), |name| may_set(rules, name, ""))?;
            if let Some(module) = dropped {
                tracing::info!(?module, "module of a create body not forwarded");
            }
            if documents > 0 && !asked.tenant.limits.documents.has_room(documents.saturating_sub(1)) {
                return Err(Denial::DocumentLimitReached.into());
            }
            Some((xml.into(), documents))
        }
        _ => None,
    };
    Ok(Read { signer, params, modules, charge })
}

/// Whether a form counts of which the checksum covers nothing, as in BBB 3.0. A caller who has seen such a checksum can send it
/// again with another form (docs/decisions/0009-forms-and-checksums.md).
fn takes_uncovered(asked: &Asked, spec: &Spec) -> bool {
    // A browser has the checksum of a join, and a form of its own is all that a page needs to send one.
    asked.head.method == Method::POST && spec.call != Call::Join && asked.tenant.uncovered_forms
}

/// A form that is not accepted for its checksum.
fn unfit(spec: &Spec, checksum: Option<&str>, params: &Params, fits_query: bool) -> Failure {
    let form = UnfitForm { checksum: checksum.map(Into::into), fields: params.encode().into(), fits_query };
    Failure { form: Some(form.into()), ..mismatch(spec) }
}

/// The query of a call whose body no checksum covers: signed, and without a form.
pub(super) fn signed_query<'a>(asked: &'a Asked, spec: &Spec) -> Result<Read<'a>, Failure> {
    let signer = checksum::verify(spec.name(), asked.query(), &asked.tenant.credentials, asked.now);
    let signer = signer.map_err(|_| mismatch(spec))?.ok_or_else(|| missing(spec))?;
    let params = Params::parse(asked.query().as_bytes())?;
    Ok(Read { signer, params, modules: None, charge: None })
}

fn missing(spec: &Spec) -> Failure {
    match spec.family {
        Family::Meetings => Failure::CHECKSUM_MISSING,
        Family::Recordings | Family::Hooks => mismatch(spec),
    }
}

fn mismatch(spec: &Spec) -> Failure {
    match spec.family {
        Family::Meetings => Failure::CHECKSUM,
        Family::Recordings => Failure::RECORDINGS_CHECKSUM,
        Family::Hooks => Failure::HOOKS_CHECKSUM,
    }
}

/// What the recordings calls look for before they look at the checksum's value
/// (docs/reference/bbb-protocol.md, "Recordings calls").
fn present(call: Call, params: &Params) -> Result<(), Failure> {
    let has = |name| params.get(name).is_some_and(|value| !value.is_empty());
    match call {
        Call::PublishRecordings | Call::DeleteRecordings | Call::UpdateRecordings | Call::GetRecordingTextTracks
            if !has("recordID") =>
        {
            Err(Failure::RECORD_ID_MISSING)
        }
        Call::PublishRecordings if !has("publish") => Err(Failure::PUBLISH_MISSING),
        _ => Ok(()),
    }
}

/// The type of a body, in lower case, and the whole header.
pub(super) fn mime_of(asked: &Asked) -> (String, &str) {
    let header = asked.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    (header.split(';').next().unwrap_or("").trim().to_ascii_lowercase(), header)
}

/// Whether a call may bring a form: of a `GET` it is read where it is all that there is, which some clients send above a length.
fn may_bring_form(asked: &Asked, spec: &Spec) -> bool {
    match asked.head.method {
        Method::POST => true,
        Method::GET => asked.query().is_empty() && spec.call != Call::Join,
        _ => false,
    }
}

/// The body of a call. Of a caller who has shown no secret yet only a form is read, for the checksum may be in it.
async fn sent(
    asked: &Asked,
    spec: &Spec,
    body: Incoming,
    bodies: &Bodies,
    signed: bool,
) -> Result<(Sent, Option<Charge>), Failure> {
    if !may_bring_form(asked, spec) || http_body::Body::is_end_stream(&body) {
        return Ok((Sent::Nothing, None));
    }
    let (mime, header) = mime_of(asked);
    let is_form = matches!(&*mime, "application/x-www-form-urlencoded" | "multipart/form-data");
    // Many people have the address of a join: a body beside it is not signed.
    if (signed && spec.call == Call::Join) || (!signed && !is_form) {
        return Ok((if signed { Sent::Nothing } else { Sent::Other }, None));
    }
    let is_modules = spec.takes_xml && matches!(&*mime, "application/xml" | "text/xml");
    // Documents in a body are as large as the level allows.
    let most = if is_modules { asked.tenant.limits.body as usize } else { BODY_BYTES_MAX };
    let whole = bodies.read(asked, body, most, signed).await?;
    let body = whole.bytes;
    let sent = match &*mime {
        _ if body.is_empty() => Sent::Nothing,
        "application/x-www-form-urlencoded" => Sent::Form(body),
        "multipart/form-data" => match multer::parse_boundary(header) {
            Ok(boundary) => Sent::Multipart(body, boundary),
            Err(_) => Sent::Other,
        },
        _ if is_modules => Sent::Modules(body),
        _ => Sent::Other,
    };
    Ok((sent, whole.charge))
}

/// The files of a form, by their names; a form with anything else in it is refused.
pub(super) async fn files_of(asked: &Asked, body: Bytes) -> Result<HashMap<String, Bytes>, Failure> {
    let (_, header) = mime_of(asked);
    let boundary = multer::parse_boundary(header).map_err(|_| Failure::CONTENT_TYPE)?;
    let mut parts = multer::Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut files = HashMap::new();
    while let Some(part) = parts.next_field().await.map_err(|_| Failure::QUERY)? {
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let content = part.bytes().await.map_err(|_| Failure::QUERY)?;
        if !is_file || files.insert(name, content).is_some() {
            return Err(Failure::QUERY);
        }
    }
    Ok(files)
}

/// Adds the text fields of a `multipart/form-data`; files have no meaning in these calls.
pub(in crate::proxy) async fn extend_multipart(
    params: &mut Params,
    body: Bytes,
    boundary: &str,
) -> Result<(), Failure> {
    let whole = stream::iter([Ok::<_, Infallible>(body)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    while let Some(part) = parts.next_field().await.map_err(|_| Failure::QUERY)? {
        let (Some(name), None) = (part.name().map(sanitise), part.file_name()) else { continue };
        let value = part.bytes().await.map_err(|_| Failure::QUERY)?;
        let value = std::str::from_utf8(&value).map_err(|_| Failure::QUERY)?;
        params.push(name, sanitise(value))?;
    }
    Ok(())
}
