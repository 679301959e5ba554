//! One name whose time has come: what its certificate says, what DNS says, whether there is budget; then an order, and when the
//! name is looked at next.

use std::time::Duration;

use super::{
    Certificates,
    authorities::{self, Known},
    budget,
    names::Need,
    proof::Proof,
    schedule,
};
use crate::{
    acme::{Account, Failure, FailureKind, Issued, Kind, Wanted},
    domain::{issuance::Issuance, time::Timestamp},
    metrics::OrderOutcome,
    store::{CertificateRow, DomainRow, DomainState, Error, NewOrder},
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
    /// The authority was not asked, or has refused: the reason, when it is worth another look, and whether another authority may
    /// do better.
    Not {
        failure: Failure,
        is_held_back: bool,
    },
}

impl Certificates {
    /// Looks at a name, and writes what has become of it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn take_turn(&self, mut row: DomainRow) -> Result<(), Error> {
        let names = self.answers.names();
        let (Some(issuance), Ok(name)) = (&self.issuance, row.name.parse::<CertName>()) else { return Ok(()) };
        let Some(need) = names.need(&name) else { return self.rest(row, LEASE).await };
        let had = self.usable(&row.name).await?;
        let renewal = match &had {
            None => {
                (row.good_until, row.renew_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
                Renewal { replaces: None, is_suggested: false }
            }
            Some(had) => match self.renewal(&mut row, had).await {
                Some(renewal) => renewal,
                None => return self.store().certificates().set_domain(&row).await,
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
        if let Some(wait) = self.look_at_dns(name, issuance).await {
            return self.wait_for_dns(row, wait).await;
        }
        let kind = match name {
            CertName::Below(_) => Kind::Dns01,
            // After a failure the other way is tried.
            CertName::Exact(_) => {
                let failures = if row.state == DomainState::Failing { row.failures } else { 0 };
                let turn = usize::try_from(failures).unwrap_or(0) % issuance.challenges.len().max(1);
                issuance.challenges.get(turn).map_or(Kind::Http01, |one| authorities::challenge(*one))
            }
        };
        let sealed = row.progress.take();
        let mut begun = sealed.as_deref().and_then(|sealed| self.vault.open_progress(&row.name, sealed));
        // Where an order is, as long as it has led to nothing.
        let mut kept = sealed.filter(|_| begun.is_some());
        // An order that was begun is finished where it was.
        let mut order: Vec<&Known> = self.authorities.iter().collect();
        if let Some((authority, _)) = &begun {
            order.sort_by_key(|known| known.directory != *authority);
        }
        let mut failures: Vec<(String, Failure)> = Vec::new();
        let (mut all_held_back, mut forbidden) = (true, None);
        for known in order {
            let resume = begun.take_if(|(authority, _)| *authority == known.directory).map(|(_, progress)| progress);
            let wanted = Wanted {
                names: std::slice::from_ref(name),
                key: need.key,
                challenge: kind,
                replaces: renewal.replaces_at(&known.directory),
                resume,
            };
            // An order that was begun was allowed then.
            let forbids = match &wanted.resume {
                Some(_) => Ok(None),
                None => self.forbids(known, name, kind, issuance).await,
            };
            match forbids {
                Ok(None) => {}
                Ok(Some(waits)) => {
                    forbidden.get_or_insert(waits);
                    continue;
                }
                Err(failure) => {
                    self.metrics.count_order(known.role, OrderOutcome::Failed);
                    all_held_back = false;
                    failures.push((known.host().to_owned(), failure));
                    continue;
                }
            }
            let is_resumed = wanted.resume.is_some();
            let (next, asked) = Box::pin(self.ask(row, known, wanted, &renewal, issuance)).await?;
            row = next;
            match asked {
                Asked::Issued(issued) => return self.keep(row, name, known, issued).await,
                Asked::Not { failure, is_held_back } => {
                    kept = row.progress.take().or(kept.filter(|_| !is_resumed));
                    all_held_back &= is_held_back;
                    let is_of_name = matches!(failure.kind, FailureKind::Name | FailureKind::Local);
                    failures.push((known.host().to_owned(), failure));
                    if is_of_name && !is_held_back {
                        break;
                    }
                }
            }
        }
        row.progress = kept;
        match forbidden {
            Some(waits) if failures.is_empty() => self.wait_for_dns(row, waits).await,
            Some(waits) => {
                failures.push((String::new(), Failure::new(FailureKind::Name, waits.reason)));
                self.fail(row, &failures, all_held_back).await
            }
            None => self.fail(row, &failures, all_held_back).await,
        }
    }

    /// Orders at one authority, if there is budget. An order that is resumed has been counted.
    async fn ask(
        &self,
        mut row: DomainRow,
        known: &Known,
        wanted: Wanted<'_>,
        renewal: &Renewal,
        issuance: &Issuance,
    ) -> Result<(DomainRow, Asked), Error> {
        let now = self.clock.now();
        let name = row.name.clone();
        let host = name.strip_prefix("*.").unwrap_or(&name).parse();
        let registered = host.map_or_else(|_| name.clone(), |host| budget::registered_domain(&host).to_owned());
        let order = NewOrder {
            authority: &known.directory,
            name: &name,
            registered: &registered,
            at: now,
            is_exempt: renewal.is_suggested && wanted.replaces.is_some(),
        };
        let store = self.store().certificates();
        let mut number = None;
        if wanted.resume.is_none() {
            let spent = store.spent(order, budget::since(now)).await?;
            if let Err(exceeded) = budget::check(&issuance.budget, spent, &registered, order.is_exempt) {
                self.metrics.count_order(known.role, OrderOutcome::HeldBack);
                let mut failure =
                    Failure::new(FailureKind::RateLimited, format!("held back by acme.budget: {}", exceeded.reason));
                failure.retry_after = Some(exceeded.again_in);
                return Ok((row, Asked::Not { failure, is_held_back: true }));
            }
            number = Some(store.note_order(order).await?);
        }
        if row.state == DomainState::WaitingForDns {
            row.failures = 0;
        }
        if row.state != DomainState::Ordering {
            (row.state, row.since) = (DomainState::Ordering, now);
        }
        row.authority = Some(known.directory.clone());
        row.owner = Some(self.store().gateway().to_owned());
        (row.found, row.expected) = (None, None);
        row.next_at = now.saturating_add(LEASE);
        let resumed = wanted.resume.clone();
        // Written again: this gateway may be lost as well.
        row.progress = resumed.as_ref().and_then(|one| self.vault.seal_progress(&name, &known.directory, one).ok());
        store.set_domain(&row).await?;
        let proof = Proof::new(self, &known.directory, row);
        let asked = tokio::time::timeout(ORDER_TIMEOUT, self.issue(known, &wanted, &proof)).await;
        let asked =
            asked.unwrap_or_else(|_| Err(Failure::new(FailureKind::Unreachable, "the order has taken too long")));
        let mut row = proof.into_row();
        match asked {
            Ok(issued) => Ok((row, Asked::Issued(issued))),
            Err(failure) => {
                self.metrics.count_order(known.role, OrderOutcome::Failed);
                tracing::warn!(name, authority = known.host(), why = failure.text, "a certificate was not issued");
                if let Some(number) = number {
                    store.note_failed(number, self.clock.now()).await?;
                }
                // An order that may still lead to its certificate is resumed at the next try.
                let may_lead_on = matches!(failure.kind, FailureKind::Unreachable | FailureKind::RateLimited);
                if failure.ends_order || !may_lead_on {
                    row.progress = None;
                }
                Ok((row, Asked::Not { failure, is_held_back: false }))
            }
        }
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
        let key = match self.vault.seal_key(&row.name, &issued.key) {
            Ok(key) => key,
            Err(why) => {
                let failure = Failure::new(FailureKind::Local, why);
                return self.fail(row, &[(known.host().to_owned(), failure)], false).await;
            }
        };
        let now = self.clock.now();
        if issued.not_after <= now {
            let why =
                format!("its certificate ends at {}, which is past by the clock of this gateway", issued.not_after);
            return self.fail(row, &[(known.host().to_owned(), Failure::new(FailureKind::Refused, why))], false).await;
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

    async fn fail(&self, mut row: DomainRow, failures: &[(String, Failure)], is_held_back: bool) -> Result<(), Error> {
        let now = self.clock.now();
        let told = failures.iter().map(|(authority, failure)| match failure.kind {
            FailureKind::Name | FailureKind::Local => failure.text.clone(),
            _ => format!("{authority}: {}", failure.text),
        });
        let mut reasons: Vec<String> = Vec::new();
        told.for_each(|reason| {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        });
        // What was waited for at one authority is no reason to wait where the other one may be asked.
        let retry_after = failures.iter().map(|(_, failure)| failure.retry_after.unwrap_or_default()).min();
        if !is_held_back {
            row.failures = row.failures.saturating_add(1);
        }
        if row.state != DomainState::Failing {
            (row.state, row.since) = (DomainState::Failing, now);
        }
        row.owner = None;
        row.reason = Some(shortened(&reasons.join("; ")));
        row.next_at = match (is_held_back, retry_after) {
            (true, Some(wait)) => now.saturating_add(wait),
            (_, retry_after) => schedule::after_failure(&row.name, row.failures, retry_after, now),
        };
        self.store().certificates().set_domain(&row).await
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

impl DomainRow {
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
