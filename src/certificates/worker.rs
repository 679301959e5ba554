//! The worker: on the gateway that leads, keeps the list of names as the configuration has it, and takes names whose time has
//! come, a few at once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};

use super::{Certificates, budget, names::Names, schedule};
use crate::{
    domain::time::Timestamp,
    store::{DomainRow, DomainState, Due, Error},
    supervise::caught,
    tls::certs::CertName,
};

/// Without anything to do, the store is looked at after this time.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(5);
/// How long certificates of names are kept that are in no configuration any more: a name may come back.
const KEEP_GONE: Duration = Duration::from_secs(30 * 86_400);
/// Between two looks at what can be forgotten.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
/// Between two counts of what there is.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Between two warnings of certificates that expire.
const WARN_EVERY: Duration = Duration::from_secs(86_400);
/// Names in one warning.
const WARNED_MAX: u32 = 10;
/// Between two names that are hurried, since somebody has come for them: who comes for many makes no more looks than that.
const HURRY_EVERY: Duration = Duration::from_millis(200);

/// Runs the life cycle until told to stop. Only the gateway that leads orders; an order that is cut off is finished by the next
/// one that leads.
pub async fn run(
    certificates: Arc<Certificates>,
    mut leads: watch::Receiver<Option<bool>>,
    mut stop: watch::Receiver<bool>,
) {
    if !certificates.is_ordering() {
        return;
    }
    tokio::select! {
        () = lead(&certificates, &mut leads, &mut stop) => {}
        () = certificates.hurry_all() => {}
    }
}

/// Orders while this gateway leads.
async fn lead(
    certificates: &Arc<Certificates>,
    leads: &mut watch::Receiver<Option<bool>>,
    stop: &mut watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            led = leads.wait_for(|leads| *leads == Some(true)) => if led.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = Leader::new(Arc::clone(certificates)).work() => {}
            lost = leads.wait_for(|leads| *leads != Some(true)) => if lost.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        certificates.metrics.forget_states();
    }
}

/// What the leading gateway has under way. Dropped, its orders end where they are.
pub(super) struct Leader {
    certificates: Arc<Certificates>,
    orders: JoinSet<String>,
    /// Each with whether it is a renewal.
    under_way: HashMap<String, bool>,
    /// The names as the store has them.
    listed: Option<Arc<Names>>,
    cleaned_at: Timestamp,
    counted_at: Timestamp,
    warned_at: Timestamp,
}

impl Leader {
    pub(super) fn new(certificates: Arc<Certificates>) -> Self {
        Self {
            certificates,
            orders: JoinSet::new(),
            under_way: HashMap::new(),
            listed: None,
            cleaned_at: Timestamp::MIN,
            counted_at: Timestamp::MIN,
            warned_at: Timestamp::MIN,
        }
    }

    async fn work(mut self) {
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::debug!(%error, "the life cycle of certificates waits for the store");
                    PAUSE
                }
            };
            tokio::select! {
                Some(done) = self.orders.join_next() => if let Ok(name) = done { self.under_way.remove(&name); },
                () = self.certificates.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins what is due. Returns when there may be more.
    async fn round(&mut self) -> Result<Duration, Error> {
        let certificates = Arc::clone(&self.certificates);
        let (store, now) = (certificates.store().certificates(), certificates.clock.now());
        self.list_names(now).await?;
        self.clean(now).await?;
        let Some(issuance) = &certificates.issuance else { return Ok(LOOK_EVERY) };
        let at_once = usize::try_from(issuance.budget.at_once).unwrap_or(usize::MAX);
        if self.under_way.len() < at_once {
            // Of those that are due some may be under way.
            let most = issuance.budget.at_once.saturating_mul(2);
            let renewals = store.due_domains(now, Due { have_certificate: true, most }).await?;
            let others = store.due_domains(now, Due { have_certificate: false, most }).await?;
            // Names that never get a certificate keep none from being renewed.
            let (first, rest) = (at_once.div_ceil(2), at_once);
            self.begin_up_to(first, renewals.iter(), true);
            self.begin_up_to(rest, others.iter(), false);
            self.begin_up_to(rest, renewals.iter(), true);
        }
        if self.under_way.len() >= at_once {
            return Ok(LOOK_EVERY);
        }
        let next = store.next_due().await?.map_or(LOOK_EVERY, |at| at.saturating_duration_since(now));
        // What is under way may be due still, by its row.
        let least = if self.under_way.is_empty() { Duration::from_millis(100) } else { Duration::from_secs(1) };
        Ok(next.clamp(least, LOOK_EVERY))
    }

    /// Begins names that are not under way, until there are so many renewals, or so many in all.
    fn begin_up_to<'r>(&mut self, most: usize, rows: impl Iterator<Item = &'r DomainRow>, is_renewal: bool) {
        let at_once = self.certificates.issuance.as_ref().map_or(0, |issuance| issuance.budget.at_once);
        let at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
        for row in rows {
            let of_kind = self.under_way.values().filter(|renewal| **renewal == is_renewal).count();
            if most <= of_kind || at_once <= self.under_way.len() {
                return;
            }
            if !self.under_way.contains_key(&row.name) {
                self.under_way.insert(row.name.clone(), is_renewal);
                self.begin(row.clone());
            }
        }
    }

    fn begin(&mut self, row: DomainRow) {
        let certificates = Arc::clone(&self.certificates);
        self.orders.spawn(async move {
            let name = row.name.clone();
            let kept = row.clone();
            let done = caught("certificates", Box::pin(certificates.take_turn(row))).await;
            match done {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(name, %error, "the life cycle of a certificate waits for the store");
                    // The row is as it was: at once it would be the same again.
                    tokio::time::sleep(PAUSE).await;
                }
                // Its time is still the old one: another panic at once is of no use.
                None => certificates.postpone(kept).await,
            }
            name
        });
    }

    /// Has the store list the names that the configuration has.
    pub(super) async fn list_names(&mut self, now: Timestamp) -> Result<(), Error> {
        let names = self.certificates.answers.names();
        if self.listed.as_ref().is_some_and(|listed| Arc::ptr_eq(listed, &names)) {
            return Ok(());
        }
        let store = self.certificates.store().certificates();
        let mut listed: BTreeMap<String, String> = match &self.listed {
            Some(listed) => texts(listed).collect(),
            None => store.domain_names().await?.into_iter().collect(),
        };
        let mut new = Vec::new();
        for (name, tenant) in texts(&names) {
            if listed.remove(&name).is_none_or(|of| of != tenant) {
                new.push(DomainRow::new(name, tenant, now));
            }
        }
        store.add_domains(&new).await?;
        let gone: Vec<String> = listed.into_keys().collect();
        store.drop_domains(&gone, now).await?;
        if !new.is_empty() || !gone.is_empty() {
            tracing::info!(new = new.len(), gone = gone.len(), names = names.len(), "names that need a certificate");
        }
        // Before the names count as listed: what fails here is done in the next round.
        if self.listed.is_none() {
            let left = store.take_over_orders(now).await?;
            if left > 0 {
                tracing::warn!(orders = left, "taking over the orders of another gateway");
            }
        }
        self.listed = Some(names);
        Ok(())
    }

    /// Forgets what is old, counts what there is, and warns of certificates that expire.
    async fn clean(&mut self, now: Timestamp) -> Result<(), Error> {
        let store = self.certificates.store().certificates();
        if self.cleaned_at.saturating_add(CLEAN_EVERY) <= now {
            store.forget_orders(now.saturating_sub(budget::WEEK)).await?;
            store.forget_gone(now.saturating_sub(KEEP_GONE), now).await?;
            self.cleaned_at = now;
        }
        if now < self.counted_at.saturating_add(COUNT_EVERY) {
            return Ok(());
        }
        self.counted_at = now;
        let expiring = store.overdue(now, now.saturating_add(schedule::ALARM_BEFORE), WARNED_MAX).await?;
        let states = store.count_states().await?;
        let waiting = states.iter().find(|(state, _)| *state == DomainState::Failing).map_or(0, |(_, n)| *n);
        self.certificates.waiting.store(u32::try_from(waiting).unwrap_or(u32::MAX), Relaxed);
        self.certificates.metrics.set_states(states.iter().map(|(state, n)| (state.as_str(), *n)), expiring.1);
        if expiring.1 > 0 && self.warned_at.saturating_add(WARN_EVERY) <= now {
            let names: Vec<&str> = expiring.0.iter().map(|row| &*row.name).collect();
            tracing::warn!(
                certificates = expiring.1,
                names = names.join(", "),
                "certificates expire soon and were not renewed: anteroom domain list --state failing, --state expired"
            );
            self.warned_at = now;
        }
        Ok(())
    }
}

/// Names and their tenants, as the store has them.
fn texts(names: &Names) -> impl Iterator<Item = (String, String)> {
    names
        .all()
        .map(|(name, need)| (name.to_string(), need.tenant.as_ref().map_or_else(String::new, ToString::to_string)))
}

impl Certificates {
    /// Has names looked at soon for which somebody has come here. On every gateway, since DNS may lead to any of them; never ends.
    async fn hurry_all(&self) {
        loop {
            self.hurry_next().await;
            tokio::time::sleep(HURRY_EVERY).await;
        }
    }

    /// Waits for somebody to come, and has the name looked at.
    pub(super) async fn hurry_next(&self) {
        let host = self.tls.first_hello().asked().await;
        if let Some(name) = self.answers.names().name_for(&host) {
            self.hurry(&name).await;
        }
    }

    /// Has a name looked at now that waits for DNS, or was never looked at.
    async fn hurry(&self, name: &CertName) {
        match self.store().certificates().hurry_domain(&name.to_string(), self.clock.now()).await {
            Ok(true) => self.wake.notify_one(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "failed to hurry a name"),
        }
    }
}
