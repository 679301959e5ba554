//! One name whose time has come: what its certificate says, what DNS says, whether there is budget; then an order, and when the
//! name is looked at next.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    Certificates,
    authorities::{self, Known},
    names::Need,
    proof::{Course, Proof},
    refusal::{self, Cost, Refusal},
    schedule,
};
use crate::{
    acme::{Account, Failure, FailureKind, Issued, Kind, Wanted},
    domain::{issuance::Issuance, time::Timestamp},
    metrics::OrderOutcome,
    store::{CertificateRow, DomainRow, DomainState, Error},
    tls::{certs::CertName, issued::Entry},
};

/// A name that is being looked at is not looked at again for this long, unless a result is written before: orders have time
/// limits, and a gateway that dies is noticed earlier.
pub(super) const LEASE: Duration = Duration::from_secs(30 * 60);
/// An order takes no longer, whatever the time limits within it.
const ORDER_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Authorities are asked about a certificate's renewal once a day, or no more often than so many times in its life.
const ASKED_IN_LIFE: u32 = 30;
const DAY: Duration = Duration::from_secs(86_400);
/// An authority that has not said when to renew is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
/// What the store or this gateway fails to do is tried again after this time.
const AGAIN_AFTER_FAULT: Duration = Duration::from_secs(60);
/// More of a reason is not kept.
const REASON_MAX: usize = 1000;

/// Why a certificate is ordered now.
struct Renewal {
    /// The authority that has issued the one that the new one replaces, and its chain; `None` where that is not known.
    replaces: Option<(String, String)>,
    /// Whether the authority has suggested it.
    is_suggested: bool,
}

impl Renewal {
    /// The chain that a new certificate of this authority replaces.
    fn replaces_at(&self, directory: &str) -> Option<&str> {
        self.replaces.as_ref().filter(|(authority, _)| authority == directory).map(|(_, chain)| &**chain)
    }
}

/// What becomes of a name at one authority.
enum Asked {
    Issued(Issued),
    /// Why not, and what it has cost to find out.
    Not(Failure, Cost),
}

impl Certificates {
    /// Looks at a name, and writes what has become of it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn take_turn(&self, mut row: DomainRow) -> Result<(), Error> {
        let names = self.answers.names();
        let Some(issuance) = &self.issuance else { return Ok(()) };
        let Ok(name) = row.name.parse::<CertName>() else { return self.rest(row, LEASE).await };
        let Some(need) = names.need(&name) else { return self.rest(row, LEASE).await };
        let had = self.usable(&row.name).await?;
        let renewal = match &had {
            None => {
                (row.good_until, row.renew_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
                Renewal { replaces: None, is_suggested: false }
            }
            Some(had) => match self.renewal(&mut row, had).await {
                Some(renewal) => renewal,
                None => {
                    // It may have been revoked or replaced while the authority was asked.
                    let has = self.store().certificates().certificate(&row.name).await?;
                    if has.is_none_or(|has| has.version != had.version) {
                        row.next_at = self.clock.now();
                    }
                    return self.store().certificates().set_domain(&row).await;
                }
            },
        };
        Box::pin(self.order(row, &name, need, issuance, renewal)).await
    }

    /// The certificate that a name has. One whose key cannot be read is none: another one is ordered.
    async fn usable(&self, name: &str) -> Result<Option<CertificateRow>, Error> {
        let Some(had) = self.store().certificates().certificate(name).await? else { return Ok(None) };
        match self.vault.key_of(&had).await {
            Ok(_) => Ok(Some(had)),
            Err(why) => {
                tracing::error!(name, why, "the certificate in the store is of no use");
                Ok(None)
            }
        }
    }

    /// Whether a certificate is to be renewed now. If not, the row says when it is looked at again.
    async fn renewal(&self, row: &mut DomainRow, had: &CertificateRow) -> Option<Renewal> {
        let now = self.clock.now();
        let known = self.authorities.iter().find(|known| known.directory == had.authority);
        let mut renew_at = schedule::renewal(&row.name, had.not_before, had.not_after);
        let mut again_at = renew_at;
        let mut is_suggested = false;
        if let Some(known) = known {
            match known.client.renewal(&had.chain).await {
                Ok(Some(window)) => {
                    renew_at = schedule::renewal_in(&row.name, (window.from, window.until), had.not_after);
                    is_suggested = true;
                    let life = had.not_after.saturating_duration_since(had.not_before);
                    again_at = renew_at.min(now.saturating_add(window.ask_again.max((life / ASKED_IN_LIFE).min(DAY))));
                }
                Ok(None) => {}
                Err(failure) => {
                    tracing::info!(name = row.name, why = failure.text, "the authority does not say when to renew");
                    again_at = renew_at.min(now.saturating_add(failure.retry_after.unwrap_or(ASK_AGAIN)));
                }
            }
        }
        (row.good_until, row.renew_at) = (had.not_after, renew_at);
        if now < renew_at {
            row.become_active(now, again_at);
            return None;
        }
        let replaces = known.map(|known| (known.directory.clone(), had.chain.clone()));
        Some(Renewal { replaces, is_suggested })
    }

    async fn order(
        &self,
        mut row: DomainRow,
        name: &CertName,
        need: &Need,
        issuance: &Issuance,
        renewal: Renewal,
    ) -> Result<(), Error> {
        let is_renewal = row.good_until > Timestamp::EPOCH;
        if let Some(wait) = self.look_at_dns(name, issuance, is_renewal).await {
            return self.wait_for_dns(row, wait).await;
        }
        let kinds = kinds(name, &row, issuance);
        let is_at_once = row.was_hurried();
        let sealed = row.progress.take();
        let mut begun = sealed.as_deref().and_then(|sealed| self.vault.open_progress(&row.name, sealed));
        // Where an order is, as long as it has led to nothing.
        let mut kept = sealed.filter(|_| begun.is_some());
        // An order that was begun is finished where it was.
        let mut order: Vec<&Known> = self.authorities.iter().collect();
        if let Some((authority, _)) = &begun {
            order.sort_by_key(|known| known.directory != *authority);
        }
        let mut refusals: Vec<Refusal> = Vec::new();
        let mut forbidden = None;
        for known in order {
            let refusal = |failure, cost| Refusal { authority: known.host().to_owned(), failure, cost };
            if is_at_once {
                known.patience.forget(&row.name);
            }
            if let Some(left) = known.patience.left(&row.name, self.clock.now()) {
                refusals.push(refusal(patient(left), Cost::Nothing));
                continue;
            }
            let resume = begun.take_if(|(authority, _)| *authority == known.directory).map(|(_, progress)| progress);
            // An order that was begun was allowed then.
            let allowed = match &resume {
                Some(_) => Ok(Ok(kinds.first().copied().unwrap_or(Kind::Http01))),
                None => self.allowed(known, name, &kinds, issuance, is_renewal).await,
            };
            let challenge = match allowed {
                Ok(Ok(kind)) => kind,
                Ok(Err(waits)) => {
                    forbidden.get_or_insert(waits);
                    continue;
                }
                Err(failure) => {
                    self.metrics.count_order(known.role, OrderOutcome::Failed);
                    known.hear(&row.name, &failure, self.clock.now());
                    refusals.push(refusal(failure, Cost::Question));
                    continue;
                }
            };
            let wanted = Wanted {
                names: std::slice::from_ref(name),
                key: need.key,
                challenge,
                replaces: renewal.replaces_at(&known.directory),
                resume,
            };
            let is_resumed = wanted.resume.is_some();
            let (next, asked) = Box::pin(self.ask(row, known, wanted, renewal.is_suggested, issuance)).await?;
            row = next;
            match asked {
                Asked::Issued(issued) => return self.keep(row, name, known, issued).await,
                Asked::Not(failure, cost) => {
                    kept = row.progress.take().or(kept.filter(|_| !is_resumed));
                    let is_of_name = matches!(failure.kind, FailureKind::Name | FailureKind::Local);
                    refusals.push(refusal(failure, cost));
                    if is_of_name {
                        break;
                    }
                }
            }
        }
        row.progress = kept;
        match forbidden {
            Some(waits) if refusals.is_empty() => return self.wait_for_dns(row, waits).await,
            Some(waits) => {
                let failure = Failure::new(FailureKind::Name, waits.reason);
                refusals.push(Refusal { authority: String::new(), failure, cost: Cost::Nothing });
            }
            None => {}
        }
        self.fail(row, &refusals).await
    }

    /// Orders at one authority, or finishes an order there.
    async fn ask(
        &self,
        mut row: DomainRow,
        known: &Known,
        wanted: Wanted<'_>,
        is_suggested: bool,
        issuance: &Issuance,
    ) -> Result<(DomainRow, Asked), Error> {
        let store = self.store().certificates();
        if let Some(resumed) = &wanted.resume {
            row.become_ordering(&known.directory, self.store().gateway(), self.clock.now());
            // Written again: this gateway may be lost as well.
            row.progress = self.vault.seal_progress(&row.name, &known.directory, resumed).ok();
            store.set_domain(&row).await?;
        }
        let proof = Proof::new(self, known, &issuance.budget, is_suggested, row);
        let asked = tokio::time::timeout(ORDER_TIMEOUT, self.issue(known, &wanted, &proof)).await;
        let asked =
            asked.unwrap_or_else(|_| Err(Failure::new(FailureKind::Unreachable, "the order has taken too long")));
        let Course { mut row, order, is_held_back, fault } = proof.into_course();
        if let Some(fault) = fault {
            return Err(fault);
        }
        let failure = match asked {
            Ok(issued) if order.is_some() => return Ok((row, Asked::Issued(issued))),
            Ok(issued) => {
                // It may have counted as failed. What counts more is that it is here.
                if let Err(error) = store.note_issued(&known.directory, &row.name).await {
                    tracing::warn!(name = row.name, %error, "an order that was finished does not count for the budgets");
                }
                return Ok((row, Asked::Issued(issued)));
            }
            Err(failure) => failure,
        };
        if is_held_back {
            self.metrics.count_order(known.role, OrderOutcome::HeldBack);
            return Ok((row, Asked::Not(failure, Cost::Nothing)));
        }
        self.metrics.count_order(known.role, OrderOutcome::Failed);
        tracing::warn!(name = row.name, authority = known.host(), why = failure.text, "a certificate was not issued");
        let now = self.clock.now();
        known.hear(&row.name, &failure, now);
        if let Some(order) = order
            && let Err(error) = store.note_failed(order, now).await
        {
            tracing::warn!(name = row.name, %error, "an order that has failed counts as one that has not");
        }
        // An order that may still lead to its certificate is resumed at the next try.
        let may_lead_on = matches!(failure.kind, FailureKind::Unreachable | FailureKind::RateLimited);
        if failure.ends_order || !may_lead_on {
            row.progress = None;
        }
        let cost = if order.is_some() { Cost::Order } else { Cost::Question };
        Ok((row, Asked::Not(failure, cost)))
    }

    async fn issue(&self, known: &Known, wanted: &Wanted<'_>, proof: &Proof<'_>) -> Result<Issued, Failure> {
        let account = self.account(known).await?;
        // Boxed, here and above: large, and held by all that wait for them.
        Box::pin(known.client.order(&account, wanted, proof)).await
    }

    /// The account at an authority.
    pub(super) async fn account(&self, known: &Known) -> Result<Account, Failure> {
        let key = self.answers.key().ok_or_else(|| Failure::new(FailureKind::Local, "no certificates are ordered"))?;
        known.client.account(key).await
    }

    /// Keeps a certificate, and has it served.
    async fn keep(&self, mut row: DomainRow, name: &CertName, known: &Known, issued: Issued) -> Result<(), Error> {
        for warning in &issued.warnings {
            tracing::warn!(%name, authority = known.host(), warning, "a certificate is not as it was asked for");
        }
        let authority = known.host().to_owned();
        let key = match self.vault.seal_key(&row.name, &issued.key) {
            Ok(key) => key,
            Err(why) => {
                let failure = Failure::new(FailureKind::Local, why);
                return self.fail(row, &[Refusal { authority, failure, cost: Cost::Order }]).await;
            }
        };
        let now = self.clock.now();
        if issued.not_after <= now {
            let why =
                format!("its certificate ends at {}, which is past by the clock of this gateway", issued.not_after);
            let failure = Failure::new(FailureKind::Refused, why);
            return self.fail(row, &[Refusal { authority, failure, cost: Cost::Order }]).await;
        }
        // The authority is asked for its window soon: it may want another one at once.
        let again_in = (issued.lifetime() / ASKED_IN_LIFE).min(DAY);
        let certificate = CertificateRow {
            name: row.name.clone(),
            chain: issued.chain,
            key,
            issuer: issued.issuer,
            authority: known.directory.clone(),
            not_before: issued.not_before,
            not_after: issued.not_after,
            version: now.as_ms(),
        };
        self.put(name, &certificate, now).await?;
        self.metrics.count_order(known.role, OrderOutcome::Issued);
        tracing::info!(target: "audit", %name, authority = known.host(), not_after = %issued.not_after, "certificate issued");
        row.good_until = issued.not_after;
        row.renew_at = schedule::renewal(&row.name, issued.not_before, issued.not_after);
        row.authority = Some(known.directory.clone());
        let again_at = row.renew_at.min(now.saturating_add(again_in));
        row.become_active(now, again_at);
        self.store().certificates().set_domain(&row).await
    }

    /// Writes a certificate, and serves it.
    pub(super) async fn put(&self, name: &CertName, row: &CertificateRow, now: Timestamp) -> Result<(), Error> {
        let _following = self.following.lock().await;
        self.store().certificates().put(row, now).await?;
        self.tls.put(Entry { name: name.clone(), not_after: row.not_after, version: row.version });
        Ok(())
    }

    async fn fail(&self, mut row: DomainRow, refusals: &[Refusal]) -> Result<(), Error> {
        let now = self.clock.now();
        if row.state == DomainState::WaitingForDns {
            row.failures = 0;
        }
        if !refusal::are_free(refusals) {
            row.failures = row.failures.saturating_add(1);
        } else if self.authorities.iter().any(|known| known.patience.left(&row.name, now).is_some()) {
            // It has failed there once: see `was_hurried`.
            row.failures = row.failures.max(1);
        }
        if row.state != DomainState::Failing {
            (row.state, row.since) = (DomainState::Failing, now);
        }
        row.owner = None;
        row.reason = Some(shortened(&refusal::reason(refusals)));
        row.next_at = refusal::next(&row, refusals, self.waiting.load(Relaxed), now);
        self.store().certificates().set_domain(&row).await?;
        if refusal::are_free(refusals) {
            // Its place is not free at once: of thousands that have to wait, some are looked at each second.
            let places = self.issuance.as_ref().map_or(1, |issuance| issuance.budget.at_once);
            tokio::time::sleep(schedule::HELD_BACK_REST.saturating_mul(places)).await;
        }
        Ok(())
    }

    /// Leaves a name alone for a while.
    async fn rest(&self, mut row: DomainRow, length: Duration) -> Result<(), Error> {
        row.next_at = self.clock.now().saturating_add(length);
        self.store().certificates().set_domain(&row).await
    }

    /// What becomes of a name when the gateway itself has failed over it.
    pub(super) async fn postpone(&self, row: DomainRow) {
        if let Err(error) = self.rest(row, AGAIN_AFTER_FAULT).await {
            tracing::warn!(%error, "failed to postpone a name");
        }
    }
}

/// The ways to prove a name, the one to try first in front. After a failure it is the next one's turn.
fn kinds(name: &CertName, row: &DomainRow, issuance: &Issuance) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = match name {
        CertName::Below(_) => vec![Kind::Dns01],
        CertName::Exact(_) => issuance.challenges.iter().map(|one| authorities::challenge(*one)).collect(),
    };
    let failures = if row.state == DomainState::Failing { row.failures } else { 0 };
    let turn = usize::try_from(failures).unwrap_or(0) % kinds.len().max(1);
    kinds.rotate_left(turn);
    kinds
}

/// That an authority is not asked, for its own wish.
fn patient(left: Duration) -> Failure {
    let text = format!("it has asked for patience, and is asked again in {} min", left.as_secs().div_ceil(60));
    Failure { retry_after: Some(left), ..Failure::new(FailureKind::RateLimited, text) }
}

impl DomainRow {
    /// An order of it is under way.
    pub(super) fn become_ordering(&mut self, authority: &str, gateway: &str, now: Timestamp) {
        if self.state == DomainState::WaitingForDns {
            self.failures = 0;
        }
        if self.state != DomainState::Ordering {
            (self.state, self.since) = (DomainState::Ordering, now);
        }
        (self.authority, self.owner) = (Some(authority.to_owned()), Some(gateway.to_owned()));
        (self.found, self.expected) = (None, None);
        self.next_at = now.saturating_add(LEASE);
    }

    /// Whether the operator has it tried again at once: what has failed has counted as a failure, until that.
    fn was_hurried(&self) -> bool {
        self.state == DomainState::Failing && self.failures == 0
    }

    /// It has a certificate, and is looked at again at a time.
    pub(super) fn become_active(&mut self, now: Timestamp, again_at: Timestamp) {
        if self.state != DomainState::Active {
            (self.state, self.since) = (DomainState::Active, now);
        }
        (self.reason, self.found, self.expected) = (None, None, None);
        (self.owner, self.progress) = (None, None);
        self.failures = 0;
        self.next_at = again_at;
    }
}

/// A text as it is kept.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(REASON_MAX).collect()
}
