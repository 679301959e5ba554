//! [`Proof`]: what an order asks of its owner: budget before it is placed, then what is shown and kept while it is under way.

use std::time::Duration;

use tokio::sync::Mutex;

use super::{
    Certificates,
    authorities::Known,
    budget::{self, Exceeded},
    hook,
};
use crate::{
    acme::{Failure, FailureKind, Kind, Progress, Shown, Work},
    domain::issuance::Budget,
    store::{ChallengeRow, DomainRow, Error, NewOrder},
};

/// An answer on port 443 that is forgotten if its order is lost.
const CHALLENGE_LIFE: Duration = Duration::from_secs(900);
/// The other gateways hear of an answer in milliseconds; the authority must not come before.
const OTHERS_HEAR: Duration = Duration::from_secs(2);

/// An order of a name at an authority.
pub(super) struct Proof<'a> {
    certificates: &'a Certificates,
    known: &'a Known,
    budget: &'a Budget,
    /// Whether the authority has suggested it: such an order is free of the budget if it says what it replaces.
    is_suggested: bool,
    course: Mutex<Course>,
}

/// What has become of it so far.
pub(super) struct Course {
    /// The row of the name, with the progress.
    pub(super) row: DomainRow,
    /// The number of the order that was placed.
    pub(super) order: Option<i64>,
    /// Whether the budget forbids it.
    pub(super) is_held_back: bool,
    /// Why the store could not tell whether it does.
    pub(super) fault: Option<Error>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(
        certificates: &'a Certificates,
        known: &'a Known,
        budget: &'a Budget,
        is_suggested: bool,
        row: DomainRow,
    ) -> Self {
        let course = Course { row, order: None, is_held_back: false, fault: None };
        Self { certificates, known, budget, is_suggested, course: Mutex::new(course) }
    }

    /// What has become of it.
    pub(super) fn into_course(self) -> Course {
        self.course.into_inner()
    }

    /// Notes the order if there is budget for it, and that the name is ordered.
    async fn note(&self, course: &mut Course, is_exempt: bool) -> Result<Result<(), Exceeded>, Error> {
        let (store, now) = (self.certificates.store().certificates(), self.certificates.clock.now());
        let row = &mut course.row;
        let registered = budget::registered_domain(&row.name);
        let order = NewOrder { authority: &self.known.directory, name: &row.name, registered, at: now, is_exempt };
        let decide = |spent| budget::check(self.budget, spent, registered, is_exempt);
        match store.note_order(order, budget::since(now), decide).await? {
            Ok(number) => course.order = Some(number),
            Err(exceeded) => return Ok(Err(exceeded)),
        }
        row.become_ordering(&self.known.directory, self.certificates.store().gateway(), now);
        store.set_domain(row).await?;
        Ok(Ok(()))
    }

    /// Takes the order out of what counts.
    async fn forget(&self, course: &mut Course) {
        let Some(order) = course.order.take() else { return };
        if let Err(error) = self.certificates.store().certificates().forget_order(order).await {
            tracing::warn!(name = course.row.name, %error, "an order that was not taken counts for the budgets all the same");
        }
    }

    async fn hook(&self, action: &str, name: &str, value: &str) -> Result<(), String> {
        let command = self.certificates.issuance.as_ref().and_then(|issuance| issuance.dns_hook.as_deref());
        hook::run(command.unwrap_or_default(), action, name, value).await
    }

    /// Sets the TXT record of a challenge. It is kept in the store until it is removed: that of an order that was cut off is removed
    /// first, as far as the hook can.
    async fn set_record(&self, challenge: &Shown) -> Result<(), String> {
        let (store, name) = (self.certificates.store().certificates(), challenge.dns_name());
        let in_words = |error: Error| error.to_string();
        if let Some(left) = store.challenge(&name).await.map_err(in_words)?
            && let Err(why) = self.hook("remove", &name, &left.key_authorization).await
        {
            tracing::warn!(name, why, "failed to remove the TXT record of an order that was cut off");
        }
        let until = self.certificates.clock.now().saturating_add(CHALLENGE_LIFE);
        let row = ChallengeRow { host: name, key_authorization: challenge.dns_value(), until };
        store.open_challenge(&row).await.map_err(in_words)?;
        self.hook("add", &row.host, &row.key_authorization).await
    }

    async fn remove_record(&self, challenge: &Shown) {
        let name = challenge.dns_name();
        if let Err(why) = self.hook("remove", &name, &challenge.dns_value()).await {
            tracing::warn!(name, why, "failed to remove a TXT record: the next order of the name tries it again");
        } else if let Err(error) = self.certificates.store().certificates().close_challenge(&name).await {
            tracing::debug!(name, %error, "a TXT record that is gone is removed once more by the next order");
        }
    }

    async fn open(&self, challenge: &Shown) -> Result<(), String> {
        let until = self.certificates.clock.now().saturating_add(CHALLENGE_LIFE);
        let (host, key_authorization) = (challenge.name.to_string(), challenge.key_authorization.clone());
        let store = self.certificates.store();
        let opened = store.certificates().open_challenge(&ChallengeRow { host, key_authorization, until }).await;
        opened.map_err(|error| error.to_string())?;
        self.certificates.follow_challenges().await.map_err(|error| error.to_string())?;
        if store.is_shared() {
            tokio::time::sleep(OTHERS_HEAR).await;
        }
        Ok(())
    }

    async fn close(&self, challenge: &Shown) {
        let closed = self.certificates.store().certificates().close_challenge(challenge.name.as_str()).await;
        let followed = match closed {
            Ok(()) => self.certificates.follow_challenges().await,
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::warn!(host = %challenge.name, %error, "failed to close a challenge: it lapses by itself");
        }
    }
}

impl Work for Proof<'_> {
    async fn begin(&self, replaces: bool) -> Result<(), Failure> {
        let mut course = self.course.lock().await;
        // An order of before has led to nothing.
        course.row.progress = None;
        match self.note(&mut course, self.is_suggested && replaces).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(exceeded)) => {
                course.is_held_back = true;
                Err(exceeded.into_failure())
            }
            Err(error) => {
                // The authority is not asked for it.
                self.forget(&mut course).await;
                let failure = Failure::new(FailureKind::Local, format!("the order cannot be noted: {error}"));
                course.fault = Some(error);
                Err(failure)
            }
        }
    }

    async fn not_begun(&self) {
        self.forget(&mut *self.course.lock().await).await;
    }

    async fn show(&self, challenge: &Shown) -> Result<(), String> {
        match challenge.kind {
            // Any gateway answers any token: see `Answers`.
            Kind::Http01 => Ok(()),
            Kind::TlsAlpn01 => self.open(challenge).await,
            Kind::Dns01 => self.set_record(challenge).await,
        }
    }

    async fn hide(&self, challenge: &Shown) {
        match challenge.kind {
            Kind::Http01 => {}
            Kind::TlsAlpn01 => self.close(challenge).await,
            Kind::Dns01 => self.remove_record(challenge).await,
        }
    }

    async fn save(&self, progress: &Progress) -> Result<(), String> {
        let mut course = self.course.lock().await;
        let row = &mut course.row;
        row.progress = Some(self.certificates.vault.seal_progress(&row.name, &self.known.directory, progress)?);
        self.certificates.store().certificates().set_domain(row).await.map_err(|error| error.to_string())
    }
}
