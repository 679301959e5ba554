//! How many rows a scrape has: tenants and hosts are as many as a configuration has, rows are not.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    domain::ids::TenantId,
    metrics::{Metrics, TenantMetrics},
};

/// Tenants, and hosts with certificates, that have rows of their own where a scrape does not say how many.
const DEFAULT: usize = 1000;
/// The label of all other tenants together. No tenant can have this id.
const OTHERS: &str = "(others)";

/// Labels with a value.
pub(super) type Row<'a> = (Vec<(&'static str, &'a str)>, i64);

/// The query of a scrape.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Scrape {
    /// How many rows of a kind.
    #[serde(default)]
    pub(in crate::admin) rows: Most,
}

/// Most tenants, and most hosts, with rows of their own: a number, or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) struct Most(usize);

impl Default for Most {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Most {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "all" => Ok(Self(usize::MAX)),
            number => number.parse().map(Self).map_err(|_| D::Error::custom("rows is a number, or all")),
        }
    }
}

impl Most {
    /// The first so many of what is sorted.
    pub(super) fn of<T>(self, mut sorted: Vec<T>) -> Vec<T> {
        sorted.truncate(self.0);
        sorted
    }
}

/// The tenants that have been used since the start: each with rows of its own, or summed with others.
///
/// Those that were used first have their own: which those are never changes, so that no counter falls.
pub(super) struct Tenants {
    own: Vec<(TenantId, Arc<TenantMetrics>)>,
    others: Vec<Arc<TenantMetrics>>,
}

impl Tenants {
    pub(super) fn new(metrics: &Metrics, most: Most) -> Self {
        let most = u64::try_from(most.0).unwrap_or(u64::MAX);
        // By its number, and not by its place among those that are there: one that is just coming takes none for a moment.
        let (own, others): (Vec<_>, Vec<_>) =
            metrics.tenants().into_iter().partition(|(_, tenant)| tenant.number() < most);
        Self { own, others: others.into_iter().map(|(_, tenant)| tenant).collect() }
    }

    /// Those with rows of their own.
    pub(super) fn own(&self) -> impl Iterator<Item = (&str, &TenantMetrics)> {
        self.own.iter().map(|(id, tenant)| (id.as_str(), &**tenant))
    }

    /// What is counted of each tenant, by further labels; the same of all others together.
    pub(super) fn rows<R>(&self, of: impl Fn(&TenantMetrics) -> R) -> Vec<Row<'_>>
    where
        R: IntoIterator<Item = (Vec<(&'static str, &'static str)>, i64)>,
    {
        let labelled = |tenant, mut labels: Vec<_>| {
            labels.insert(0, ("tenant", tenant));
            labels
        };
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (id, tenant) in self.own() {
            rows.extend(of(tenant).into_iter().map(|(labels, n)| (labelled(id, labels), n)));
        }
        let mut sums = BTreeMap::<_, i64>::new();
        for (labels, n) in self.others.iter().flat_map(|tenant| of(tenant)) {
            let sum = sums.entry(labels).or_default();
            *sum = sum.saturating_add(n);
        }
        rows.extend(sums.into_iter().map(|(labels, n)| (labelled(OTHERS, labels), n)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Call, Outcome};

    fn rows(metrics: &Metrics, most: &str) -> Vec<String> {
        let scrape: Scrape = serde_json::from_str(&format!("{{\"rows\":\"{most}\"}}")).expect("a query");
        let of = |tenant: &TenantMetrics| {
            tenant.requests().map(|(call, _, n)| (vec![("call", call.as_str())], n.cast_signed())).collect::<Vec<_>>()
        };
        let tenants = Tenants::new(metrics, scrape.rows);
        tenants.rows(of).into_iter().map(|(labels, n)| format!("{} {} {n}", labels[0].1, labels[1].1)).collect()
    }

    #[test]
    fn the_first_tenants_have_rows_of_their_own_and_the_others_one_together() {
        let metrics = Metrics::default();
        let count = |id: &str, call| {
            let id: TenantId = id.parse().expect("an id");
            metrics.tenant(&id).count_request(call, Outcome::Ok);
        };
        for id in ["zebra", "wagtail", "ant", "bee"] {
            count(id, Call::Create);
        }
        count("ant", Call::Join);
        count("zebra", Call::Create);
        let two = ["wagtail create 1", "zebra create 2", "(others) create 2", "(others) join 1"];
        assert_eq!(rows(&metrics, "2"), two);
        // One that comes later takes no row away.
        count("aardvark", Call::Join);
        assert_eq!(rows(&metrics, "2")[..2], two[..2]);
        assert_eq!(rows(&metrics, "2")[3], "(others) join 2");
        assert_eq!(rows(&metrics, "0"), ["(others) create 5", "(others) join 2"]);
        assert_eq!(rows(&metrics, "all").len(), 6);
        assert_eq!(Most::default(), Most(DEFAULT));
        assert!("(others)".parse::<TenantId>().is_err(), "no tenant's id");
    }
}
