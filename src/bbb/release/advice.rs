//! What an operator should hear of the release of a server: that it is old, and that a policy sets what it does not know.

use std::collections::HashMap;

use super::{
    Release, Unknown,
    table::{GONE, Instead, LAYOUT_PARAMS, NEW, SAFE},
    unknown,
};
use crate::domain::{
    directory::Directory,
    ids::PoolId,
    rules::{Of, Rule},
    tenant::{Server, Tenant},
};

/// Parameters named in one warning; the others are counted.
const NAMED_MAX: usize = 3;

/// What policies and tenants set of that in which releases differ, by the pools where their meetings run.
#[derive(Debug, Default)]
pub struct Advice(HashMap<PoolId, Vec<Set>>);

/// A parameter with the value that a policy or a tenant gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    of: Of,
    name: &'static str,
    value: Box<str>,
    /// `policy level-2` or `tenant wagtail`.
    by: String,
}

impl Advice {
    /// Collects what the policies and tenants of a configuration set, events aside.
    #[must_use]
    pub fn new(directory: &Directory) -> Self {
        let mut advice = Self::default();
        for tenant in directory.tenants() {
            for set in sets(tenant) {
                for pool in &*tenant.pools {
                    let all = advice.0.entry(pool.clone()).or_default();
                    if !all.contains(&set) {
                        all.push(set.clone());
                    }
                }
            }
        }
        advice
    }

    /// The warnings about a server of a release.
    #[must_use]
    pub fn warnings(&self, server: &Server, release: Release) -> Vec<String> {
        let old =
            release.is_outdated().then(|| format!("BBB {release} has published flaws: upgrade it to {SAFE} or newer"));
        old.into_iter().chain(self.set_in_vain(server, release)).collect()
    }

    fn set_in_vain(&self, server: &Server, release: Release) -> Option<String> {
        let sets = self.0.get(&server.pool)?.iter().filter(|set| set.is_in_vain(release));
        let mut named: Vec<String> = sets.map(|set| format!("{} ({})", set.shown(), set.by)).collect();
        if NAMED_MAX < named.len() {
            let more = named.len() - NAMED_MAX;
            named.truncate(NAMED_MAX);
            named.push(format!("{more} more"));
        }
        (!named.is_empty()).then(|| format!("BBB {release} does not know what is set: {}", named.join(", ")))
    }
}

impl Set {
    fn is_in_vain(&self, release: Release) -> bool {
        match unknown(self.of, self.name, &self.value, release) {
            Some(Unknown::Gone(instead)) => instead == Instead::Nothing,
            Some(Unknown::New | Unknown::Layout) => true,
            None => false,
        }
    }

    fn shown(&self) -> String {
        if LAYOUT_PARAMS.contains(&(self.of, self.name)) {
            format!("{}={}", self.name, self.value)
        } else {
            self.name.to_owned()
        }
    }
}

/// What a tenant's rules set of that in which releases differ.
fn sets(tenant: &Tenant) -> impl Iterator<Item = Set> {
    let names = GONE.iter().map(|gone| gone.name).chain(NEW.iter().map(|new| new.name));
    let all = names.map(|name| (Of::Create, name)).chain(LAYOUT_PARAMS);
    all.filter_map(|(of, name)| {
        let rule = tenant.rules.of(of).rule(name)?;
        let (Rule::Force(value) | Rule::Default(value)) = rule else { return None };
        let is_policys = tenant.policy.rules.of(of).rule(name) == Some(rule);
        let by = if is_policys { format!("policy {}", tenant.policy.id) } else { format!("tenant {}", tenant.id) };
        Some(Set { of, name, value: value.clone(), by })
    })
}
