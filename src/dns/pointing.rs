//! [`Pointing`]: whether a host points to this gateway, what was found, and what to do about it. Pure: [`judge`] decides from
//! what was looked up.

use std::net::IpAddr;

use super::{
    lookup::{Nothing, Trouble},
    words::{address, addresses, list},
};
use crate::domain::host::Host;

/// Where the hosts of tenants should point. With neither, no host is right or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The public addresses of the gateway, or of what is in front of it.
    pub addresses: Vec<IpAddr>,
    /// The name that tenants' hosts are a CNAME for.
    pub target: Option<Host>,
}

/// What was looked up about one host.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub host: Host,
    /// The names it leads to, one after the other.
    pub aliases: Result<Vec<String>, Trouble>,
    pub v4: Result<Vec<IpAddr>, Nothing>,
    pub v6: Result<Vec<IpAddr>, Nothing>,
    /// Whether it is the top of a zone, where no CNAME may be.
    pub is_apex: bool,
    /// The addresses of the expected target; none where there is none, or they are not known.
    pub target: Vec<IpAddr>,
}

/// Where a host points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointing {
    /// The host.
    pub host: Host,
    /// The names that it leads to by CNAME, one after the other.
    pub aliases: Vec<String>,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// What this means.
    pub verdict: PointingVerdict,
    /// The records to set, as one writes them into a zone.
    wanted: String,
}

/// What becomes of a look at a host's DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointingVerdict {
    /// It points here.
    Right,
    /// It points here, but its name servers fail for the other kind of addresses (`A` or `AAAA`).
    HalfKnown(Trouble, &'static str),
    /// It has addresses, and nothing says which ones are right.
    NotExpected,
    /// The name does not exist.
    NoName,
    /// The name exists without an address.
    NoAddress,
    /// It leads to a name that has no address.
    Dangling,
    /// It points elsewhere.
    Elsewhere,
    /// It points to addresses that the internet does not reach.
    Private,
    /// Some of its addresses are right.
    Partly {
        /// Those that are not.
        wrong: Vec<IpAddr>,
        /// Those of the same kinds that are expected.
        instead: Vec<IpAddr>,
    },
    /// It leads to the expected name, whose own addresses are wrong: the operator's to correct.
    TargetBroken,
    /// It could not be looked up: what failed, and what was asked for.
    Failed(Trouble, &'static str),
}

impl Pointing {
    /// Whether a certificate authority that looks this host up comes here, as far as DNS tells.
    #[must_use]
    pub fn is_right(&self) -> bool {
        matches!(self.verdict, PointingVerdict::Right | PointingVerdict::HalfKnown(..) | PointingVerdict::NotExpected)
    }

    /// What the verdict is called in JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.verdict {
            PointingVerdict::Right => "right",
            PointingVerdict::HalfKnown(..) => "half-known",
            PointingVerdict::NotExpected => "not-expected",
            PointingVerdict::NoName => "no-name",
            PointingVerdict::NoAddress => "no-address",
            PointingVerdict::Dangling => "dangling",
            PointingVerdict::Elsewhere => "elsewhere",
            PointingVerdict::Private => "private",
            PointingVerdict::Partly { .. } => "partly",
            PointingVerdict::TargetBroken => "target-broken",
            PointingVerdict::Failed(trouble, _) => trouble.as_str(),
        }
    }

    /// What was found, as records: `CNAME gateway.meet.example., A 192.0.2.7`; `nothing` where there is none.
    #[must_use]
    pub fn found(&self) -> String {
        let aliases = self.aliases.iter().map(|alias| format!("CNAME {alias}."));
        let found = list(aliases.chain(self.addresses.iter().map(address)), ", ");
        if found.is_empty() { "nothing".into() } else { found }
    }

    /// One sentence: what is wrong and what to do, for the person who edits the zone; empty where nothing is.
    #[must_use]
    pub fn advice(&self) -> String {
        let Self { host, wanted, .. } = self;
        let last = self.aliases.last().map_or("", String::as_str);
        match &self.verdict {
            PointingVerdict::Right => String::new(),
            PointingVerdict::HalfKnown(trouble, asked) => {
                format!("{host} points here, but {}", trouble.advice(host.as_str(), asked))
            }
            PointingVerdict::NotExpected => format!(
                "{host} has {}; nothing says whether that is right: set acme.addresses or acme.target in anteroom.toml",
                self.found()
            ),
            PointingVerdict::NoName => format!("{host} has no DNS record: set {wanted}"),
            PointingVerdict::NoAddress => format!("{host} has no address in DNS (neither A nor AAAA): set {wanted}"),
            PointingVerdict::Dangling => {
                format!("{host} is a CNAME for {last}., which has no address: set {wanted} in its place")
            }
            PointingVerdict::Elsewhere => {
                format!("{host} points elsewhere ({}): set {wanted} in its place", self.found())
            }
            PointingVerdict::Private => format!(
                "{host} has a private address, which the internet does not reach ({}): set {wanted} in its place",
                self.found()
            ),
            PointingVerdict::Partly { wrong, instead } => self.partly(wrong, instead),
            PointingVerdict::TargetBroken if self.addresses.is_empty() => format!(
                "{host} is a CNAME for {last}., as it should be, but that has no address: the operator of the gateway must correct the records of {last}"
            ),
            PointingVerdict::TargetBroken => format!(
                "{host} is a CNAME for {last}., as it should be, but that has {}, and not the addresses of the gateway: the operator of the gateway must correct the records of {last}, or acme.addresses",
                addresses(&self.addresses)
            ),
            PointingVerdict::Failed(trouble, asked) => trouble.advice(host.as_str(), asked),
        }
    }

    fn partly(&self, wrong: &[IpAddr], instead: &[IpAddr]) -> String {
        let right: Vec<IpAddr> = self.addresses.iter().filter(|address| !wrong.contains(address)).copied().collect();
        let at = self.aliases.last().map_or(self.host.as_str(), String::as_str);
        let why = if wrong.iter().any(IpAddr::is_ipv6) && !right.iter().any(IpAddr::is_ipv6) {
            " (browsers and certificate authorities prefer IPv6)"
        } else {
            ""
        };
        let instead = match instead {
            [] => String::new(),
            instead => format!(", or set {} in its place", addresses(instead)),
        };
        let (host, right, wrong) = (&self.host, addresses(&right), addresses(wrong));
        format!(
            "{host} has {right}, which is right, but also {wrong}, which is not: remove {wrong} from {at}{why}{instead}"
        )
    }
}

/// Decides about one host.
pub(super) fn judge(facts: Facts, expected: &Expected) -> Pointing {
    let wanted = wanted(&facts, expected);
    let verdict = verdict(&facts, expected);
    let Facts { host, aliases, v4, v6, .. } = facts;
    let addresses = v4.unwrap_or_default().into_iter().chain(v6.unwrap_or_default()).collect();
    Pointing { host, aliases: aliases.unwrap_or_default(), addresses, verdict, wanted }
}

fn verdict(facts: &Facts, expected: &Expected) -> PointingVerdict {
    use PointingVerdict as V;
    let aliases = match &facts.aliases {
        Ok(aliases) => aliases,
        Err(trouble) => return V::Failed(*trouble, "CNAME"),
    };
    let leads_to_target =
        expected.target.as_ref().is_some_and(|target| aliases.iter().any(|alias| alias == target.as_str()));
    let found: Vec<IpAddr> = [&facts.v4, &facts.v6].into_iter().flatten().flatten().copied().collect();
    let failed = [(&facts.v4, "A"), (&facts.v6, "AAAA")].into_iter().find_map(|(found, asked)| match found {
        Err(Nothing::Failed(trouble)) => Some((*trouble, asked)),
        _ => None,
    });
    if found.is_empty() {
        let has_no_name = [&facts.v4, &facts.v6].into_iter().any(|found| *found == Err(Nothing::NoName));
        return match failed {
            Some((trouble, asked)) => V::Failed(trouble, asked),
            None if leads_to_target => V::TargetBroken,
            None if !aliases.is_empty() => V::Dangling,
            None if has_no_name => V::NoName,
            None => V::NoAddress,
        };
    }
    let right = if expected.addresses.is_empty() { &facts.target } else { &expected.addresses };
    if expected.addresses.is_empty() && expected.target.is_none() {
        return V::NotExpected;
    }
    let wrong: Vec<IpAddr> = found.iter().filter(|address| !right.contains(address)).copied().collect();
    // The addresses of a name that is shared between places may differ from one answer to the next.
    let is_right = wrong.is_empty() || (leads_to_target && expected.addresses.is_empty());
    match failed {
        Some((trouble, asked)) if is_right => V::HalfKnown(trouble, asked),
        None if is_right => V::Right,
        _ if leads_to_target => V::TargetBroken,
        _ if wrong.len() < found.len() => {
            let is_of_kind = |address: &&IpAddr| wrong.iter().any(|wrong| wrong.is_ipv4() == address.is_ipv4());
            let instead = right.iter().filter(is_of_kind).copied().collect();
            V::Partly { wrong, instead }
        }
        _ if wrong.iter().all(|address| is_inside(*address)) => V::Private,
        _ => V::Elsewhere,
    }
}

/// The records to set: a CNAME where one may be, else addresses.
fn wanted(facts: &Facts, expected: &Expected) -> String {
    let known = if expected.addresses.is_empty() { &facts.target } else { &expected.addresses };
    let known = addresses(known);
    match &expected.target {
        Some(target) if facts.is_apex && known.is_empty() => format!("ALIAS (or ANAME) {target}."),
        Some(target) if !facts.is_apex && known.is_empty() => format!("CNAME {target}."),
        Some(target) if !facts.is_apex => format!("CNAME {target}. (or {known})"),
        _ if known.is_empty() => "the address of the gateway, which its operator knows,".into(),
        _ => known,
    }
}

/// Whether an address is of a network that is not the internet: private, local, or shared by an access provider (RFC 6598).
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0 || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            host: "a.example".parse().expect("a host"),
            aliases: Ok(Vec::new()),
            v4: Err(Nothing::NoData),
            v6: Err(Nothing::NoData),
            is_apex: false,
            target: Vec::new(),
        }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn expected() -> Expected {
        Expected { addresses: ips(&["192.0.2.7", "2001:db8::7"]), target: "gw.example".parse().ok() }
    }

    #[test]
    fn one_kind_of_addresses_that_cannot_be_asked_for_does_not_hide_the_other() {
        let failing = || Err(Nothing::Failed(Trouble::ServerFailure));
        let right = Facts { v4: Ok(ips(&["192.0.2.7"])), v6: failing(), ..facts() };
        let half = judge(right, &expected());
        assert_eq!((half.kind(), half.is_right()), ("half-known", true));
        assert_eq!(
            half.advice(),
            "a.example points here, but the name servers of a.example fail when they are asked for AAAA (SERVFAIL): correct the zone, or ask its DNS provider"
        );
        let wrong = Facts { v4: Ok(ips(&["203.0.113.9"])), v6: failing(), ..facts() };
        assert_eq!(judge(wrong, &expected()).kind(), "elsewhere");
        let nothing = Facts { v4: Err(Nothing::NoData), v6: failing(), ..facts() };
        let nothing = judge(nothing, &expected());
        assert_eq!((nothing.kind(), nothing.is_right()), ("servfail", false));
    }

    #[test]
    fn the_top_of_a_zone_gets_no_cname() {
        let to_set = |is_apex: bool, addresses: &[&str], target: &[&str]| {
            let facts = Facts { is_apex, target: ips(target), ..facts() };
            let advice = judge(facts, &Expected { addresses: ips(addresses), ..expected() }).advice();
            advice.split_once(": set ").expect("what to set").1.to_owned()
        };
        assert_eq!(to_set(false, &["192.0.2.7"], &[]), "CNAME gw.example. (or A 192.0.2.7)");
        assert_eq!(to_set(false, &[], &["192.0.2.9"]), "CNAME gw.example. (or A 192.0.2.9)");
        assert_eq!(to_set(false, &[], &[]), "CNAME gw.example.");
        assert_eq!(to_set(true, &["192.0.2.7"], &[]), "A 192.0.2.7");
        assert_eq!(to_set(true, &[], &["192.0.2.9"]), "A 192.0.2.9");
        assert_eq!(to_set(true, &[], &[]), "ALIAS (or ANAME) gw.example.");
    }

    #[test]
    fn the_addresses_of_a_shared_target_may_differ_from_answer_to_answer() {
        let facts = Facts {
            aliases: Ok(vec!["gw.example".into()]),
            v4: Ok(ips(&["192.0.2.8"])),
            target: ips(&["192.0.2.9"]),
            ..facts()
        };
        let by_name = Expected { addresses: Vec::new(), ..expected() };
        assert_eq!(judge(facts.clone(), &by_name).kind(), "right");
        assert_eq!(judge(facts, &expected()).kind(), "target-broken");
    }
}
