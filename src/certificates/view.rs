//! What the operator sees of names and their certificates, and asks for.

use std::{collections::BTreeMap, sync::Arc};

use super::{Certificates, authorities::host_of};
use crate::{
    acme::Reason,
    domain::{directory::Directory, host::Host, ids::TenantId, time::Timestamp},
    store::{self, DomainFilter, DomainRow},
    tls::{certs::CertName, issued::Entry},
};

/// The hosts of a configuration, with their tenants.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<Host, TenantId>);

impl Hosts {
    pub(super) fn of(directory: &Directory) -> Self {
        let hosts =
            directory.tenants().flat_map(|tenant| tenant.hosts.iter().map(|host| (host.clone(), tenant.id.clone())));
        Self(hosts.collect())
    }

    /// Those that a name covers.
    pub(super) fn covered<'a>(&'a self, name: &'a CertName) -> impl Iterator<Item = &'a Host> {
        let (own, below) = match name {
            CertName::Exact(own) => (self.0.get_key_value(own).map(|(host, _)| host), None),
            CertName::Below(parent) => (None, Some(parent)),
        };
        let is_below = |host: &&Host, parent: &Host| {
            host.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str())
        };
        let below = below.into_iter().flat_map(move |parent| self.0.keys().filter(move |host| is_below(host, parent)));
        own.into_iter().chain(below)
    }
}

/// Where a name is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As the store has it.
    Stored(store::DomainState),
    /// The operator has brought a certificate.
    Brought,
    /// Its certificate has expired.
    Expired,
    /// It has no certificate, and no way to one.
    Bare,
}

impl State {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored(state) => state.as_str(),
            Self::Brought => "brought",
            Self::Expired => "expired",
            Self::Bare => "bare",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        let own = [Self::Brought, Self::Expired, Self::Bare].into_iter().find(|state| state.as_str() == word);
        own.or_else(|| store::DomainState::read(word).map(Self::Stored))
    }
}

/// A name as the operator sees it.
#[derive(Debug, Clone)]
pub struct Domain {
    /// A host, or `*.<name>`.
    pub name: String,
    /// Whose it is; `None` for a wildcard.
    pub tenant: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// Since when; `None` for what is not in the store.
    pub since: Option<Timestamp>,
    /// Why it waits or has failed.
    pub reason: Option<String>,
    /// What DNS says.
    pub found: Option<String>,
    /// What it should say.
    pub expected: Option<String>,
    /// Failed orders, or looks at DNS, in a row.
    pub failures: u32,
    /// When it is looked at next.
    pub next_at: Option<Timestamp>,
    /// The authority of the order under way, or of the last one: the host of its directory.
    pub authority: Option<String>,
    /// Who has issued its certificate; only where one name is asked for.
    pub issuer: Option<String>,
    /// The last second its certificate is good.
    pub not_after: Option<Timestamp>,
    /// When its certificate is to be renewed.
    pub renew_at: Option<Timestamp>,
}

/// Which names are listed, in the order of the names.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those behind this one; all with an empty one.
    pub after: String,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// So many at most.
    pub most: u32,
}

impl Certificates {
    /// A page of names: those of the store, and those that it knows nothing of, since they are brought or bare.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Domain>, store::Error> {
        let now = self.clock.now();
        let most = usize::try_from(filter.most).unwrap_or(usize::MAX);
        let state = match filter.state {
            Some(State::Stored(state)) => Some(state),
            // What has expired is in the store as something else.
            Some(State::Expired | State::Brought | State::Bare) | None => None,
        };
        let mut found: Vec<Domain> = Vec::new();
        if !matches!(filter.state, Some(State::Brought | State::Bare)) {
            let mut after = filter.after.clone();
            loop {
                let tenant = filter.tenant.as_deref();
                let page = DomainFilter { after: &after, tenant, state, most: filter.most };
                let rows = self.store().certificates().domains(page).await?;
                let is_last = rows.len() < most;
                after = rows.last().map(|row| row.name.clone()).unwrap_or_default();
                let rows = rows.into_iter().map(|row| of_row(row, now));
                found.extend(rows.filter(|domain| filter.state.is_none_or(|state| domain.state == state)));
                if is_last || found.len() >= most {
                    break;
                }
            }
        }
        if !matches!(filter.state, Some(State::Stored(_))) {
            let others = self.not_stored(now).filter(|domain| {
                domain.name > filter.after
                    && filter.tenant.as_ref().is_none_or(|tenant| domain.tenant.as_ref() == Some(tenant))
                    && filter.state.is_none_or(|state| domain.state == state)
            });
            found.extend(others.take(most));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(most);
        Ok(found)
    }

    /// What is known of a name; `None` for one that is in no configuration.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn show(&self, name: &CertName) -> Result<Option<Domain>, store::Error> {
        let now = self.clock.now();
        let text = name.to_string();
        let stored = self.store().certificates();
        let Some(row) = stored.domain(&text).await? else {
            if let Some(domain) = self.not_stored(now).find(|domain| domain.name == text) {
                return Ok(Some(domain));
            }
            let names = self.answers.names();
            let Some(other) = (match name {
                CertName::Exact(host) => names.name_for(host),
                CertName::Below(_) => names.need(name).map(|_| name.clone()),
            }) else {
                return Ok(None);
            };
            let tenant = names.need(&other).and_then(|need| need.tenant.as_ref()).map(ToString::to_string);
            // The name by which a host has its certificate; the worker may not have listed it yet.
            let row = stored.domain(&other.to_string()).await?;
            let row = row.unwrap_or_else(|| DomainRow::new(other.to_string(), tenant.unwrap_or_default(), now));
            return Ok(Some(of_row(row, now)));
        };
        let mut domain = of_row(row, now);
        if let Some(certificate) = stored.certificate(&text).await? {
            domain.issuer = Some(certificate.issuer);
            domain.not_after = Some(certificate.not_after);
        }
        Ok(Some(domain))
    }

    /// Has a name looked at now, as if no order had failed. `None` where nothing is ordered for it.
    ///
    /// # Errors
    /// When the store fails or a row is impossible.
    pub async fn retry(&self, name: &CertName) -> Result<Option<Domain>, store::Error> {
        let name = match name {
            CertName::Exact(host) => self.answers.names().name_for(host).unwrap_or_else(|| name.clone()),
            CertName::Below(_) => name.clone(),
        };
        self.store().certificates().retry_domain(&name.to_string(), self.clock.now()).await?;
        self.wake.notify_one();
        let domain = self.show(&name).await?;
        Ok(domain.filter(|domain| matches!(domain.state, State::Stored(_) | State::Expired)))
    }

    /// Revokes the certificate of a name. Of a name that needs one, another one is ordered, and the revoked one is served until then;
    /// else it is removed.
    ///
    /// # Errors
    /// In words, for the operator.
    pub async fn revoke(&self, name: &CertName, reason: Reason) -> Result<(), String> {
        let text = name.to_string();
        let store = self.store().certificates();
        let in_words = |error: store::Error| error.to_string();
        let row = store.certificate(&text).await.map_err(in_words)?;
        let row = row.ok_or_else(|| format!("the store has no certificate for {text}"))?;
        let known = self.authorities.iter().find(|known| known.directory == row.authority);
        let known = known.ok_or_else(|| match &*row.authority {
            "" => format!("the certificate of {text} was imported: revoke it where it was ordered"),
            other => format!("the certificate of {text} is of {}, which is not configured any more", host_of(other)),
        })?;
        let account = self.account(known).await.map_err(|failure| failure.text)?;
        let revoked = known.client.revoke(&account, &row.chain, reason).await;
        revoked.map_err(|failure| failure.text)?;
        if !self.retire(name, row.version).await.map_err(in_words)? {
            // It was renewed meanwhile: what is served now was not revoked.
            return Ok(());
        }
        store.retry_domain(&text, self.clock.now()).await.map_err(in_words)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Has a certificate replaced, or removes it where its name needs none. Returns whether it was still in its place.
    async fn retire(&self, name: &CertName, version: i64) -> Result<bool, store::Error> {
        let (store, text, now) = (self.store().certificates(), name.to_string(), self.clock.now());
        let _following = self.following.lock().await;
        if self.answers.names().need(name).is_none() {
            let is_removed = store.remove(&text, version, now).await?;
            if is_removed {
                self.tls.issued().remove(name);
            }
            return Ok(is_removed);
        }
        // No longer good: it is renewed at once, and comes after all that are. To serve none would be worse.
        let is_expired = store.expire(&text, version, now).await?;
        if is_expired {
            self.tls.put(Entry { name: name.clone(), not_after: now, version: version.saturating_add(1) });
        }
        Ok(is_expired)
    }

    /// Names that the store knows nothing of: those for which the operator has brought a certificate, and those without any way to
    /// one; in the order of the names.
    fn not_stored(&self, now: Timestamp) -> impl Iterator<Item = Domain> + use<> {
        let (hosts, names) = (self.hosts.load_full(), self.answers.names());
        let tls = Arc::clone(&self.tls);
        let brought = tls.certs();
        let hosts: Vec<(Host, TenantId)> =
            hosts.0.iter().map(|(host, tenant)| (host.clone(), tenant.clone())).collect();
        hosts.into_iter().filter_map(move |(host, tenant)| {
            if names.name_for(&host).is_some() {
                return None;
            }
            let mut own = brought.find(host.as_str()).peekable();
            let first = own.peek().copied();
            let slot = own.find(|slot| slot.is_good(now)).or(first);
            let not_after = slot.map(|slot| slot.not_after);
            let state = match not_after {
                Some(at) if at < now => State::Expired,
                Some(_) => State::Brought,
                // What was imported is served without an order.
                None if tls.issued().covers(host.as_str()) => State::Stored(store::DomainState::Active),
                None => State::Bare,
            };
            Some(Domain {
                name: host.to_string(),
                tenant: Some(tenant.to_string()),
                state,
                since: None,
                reason: (state == State::Bare)
                    .then(|| format!("no certificate, and no way to one: put one into certs/{host}/, or set [acme]")),
                found: None,
                expected: None,
                failures: 0,
                next_at: None,
                authority: None,
                issuer: None,
                not_after,
                renew_at: None,
            })
        })
    }
}

fn of_row(row: DomainRow, now: Timestamp) -> Domain {
    let has_certificate = row.good_until > Timestamp::EPOCH;
    let is_expired = has_certificate && row.good_until < now;
    let state = match row.state {
        state @ store::DomainState::Ordering => State::Stored(state),
        // Whatever keeps it from being renewed: the reason says so.
        _ if is_expired => State::Expired,
        state => State::Stored(state),
    };
    Domain {
        name: row.name,
        tenant: Some(row.tenant).filter(|tenant| !tenant.is_empty()),
        state,
        since: Some(row.since),
        reason: row.reason,
        found: row.found,
        expected: row.expected,
        failures: row.failures,
        next_at: Some(row.next_at),
        authority: row.authority.map(|directory| host_of(&directory).to_owned()),
        issuer: None,
        not_after: has_certificate.then_some(row.good_until),
        renew_at: has_certificate.then_some(row.renew_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DomainState;

    #[test]
    fn one_that_has_expired_is_shown_as_that_with_what_keeps_it_from_being_renewed() {
        let now = Timestamp::from_secs(1_000_000);
        let (before, after) = (Timestamp::from_secs(999_999), Timestamp::from_secs(1_000_001));
        for (state, good_until, shown) in [
            (DomainState::Active, after, "active"),
            (DomainState::Active, before, "expired"),
            (DomainState::Configured, before, "expired"),
            (DomainState::WaitingForDns, before, "expired"),
            (DomainState::Failing, before, "expired"),
            (DomainState::Failing, after, "failing"),
            (DomainState::Failing, Timestamp::EPOCH, "failing"),
            (DomainState::Ordering, before, "ordering"),
        ] {
            let mut row = DomainRow::new("a.example".into(), "heron".into(), now);
            (row.state, row.good_until, row.next_at) = (state, good_until, after);
            row.reason = Some("the reason".into());
            let domain = of_row(row, now);
            assert_eq!(domain.state.as_str(), shown, "{state:?} {good_until}");
            assert_eq!((domain.reason.as_deref(), domain.next_at), (Some("the reason"), Some(after)));
        }
    }
}
