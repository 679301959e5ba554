//! Reads `certs/<host>/`: `fullchain.pem` and `privkey.pem`.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    convert::Outcome,
    fault::Fault,
    files::{Reading, Source},
    scan::CERTS,
};
use crate::{
    domain::time::Timestamp,
    private,
    tls::{
        brought::{CHAIN, KEY},
        certs::{Cert, CertError, CertName},
        slot::Slot,
    },
};

const DAY: u64 = 86_400;

/// Reads the certificate in a directory; `None` inside when it has faults. Its key stays in memory if it is to be `kept`.
pub(super) fn read(from: Source<'_>, folder: &Path, name: &CertName, kept: bool) -> Outcome<Option<Slot>> {
    let Source { dir, now } = from;
    let whole: Arc<Path> = dir.join(folder).into();
    let mut reading = Reading::in_folder(Arc::clone(&whole), now);
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    let mut bytes = |file: &str| {
        let file = folder.join(file);
        let bytes = reading.bytes(&dir.join(&file));
        bytes.map_err(|why| faults.push(Fault::of_file(file, why))).ok()
    };
    let (chain, key) = (bytes(CHAIN), bytes(KEY));
    let (of_chain, of_key) = (chain.as_deref().unwrap_or_default(), key.as_deref().unwrap_or_default());
    let cert = Cert::parse(name, of_chain, of_key).map_err(|errors| {
        // What could not be read has its fault already.
        faults.extend(errors.into_iter().filter_map(|error| match error {
            CertError::Chain(why) => chain.as_ref().map(|_| Fault::of_file(folder.join(CHAIN), why)),
            CertError::Key(why) => key.as_ref().map(|_| Fault::of_file(folder.join(KEY), why)),
        }));
    });
    if let Ok(cert) = &cert {
        warnings
            .extend(dates((cert.not_before, cert.not_after), now).map(|why| Fault::of_file(folder.join(CHAIN), why)));
        let file = folder.join(KEY);
        let exposed = reading.exposed(&dir.join(&file));
        warnings.extend(exposed.map(|mode| Fault::of_file(&file, private::advice(&file, mode))));
        warnings.extend(cert.unlinked().map(|nth| {
            let why = format!("its certificate {nth} is not issued by the next one: clients may find no way to a root");
            Fault::of_file(folder.join(CHAIN), why)
        }));
    }
    let slot = cert.ok().map(|cert| Slot::of_files(name.clone(), whole, &cert, kept));
    Outcome { value: slot, faults, warnings, reading }
}

/// The certificates as they go into service: one outside its dates takes the place of none that is good, and is a fault then.
pub(super) fn in_dates(
    mut certs: BTreeMap<CertName, Arc<Slot>>,
    in_service: Option<&BTreeMap<CertName, Arc<Slot>>>,
    now: Timestamp,
) -> (BTreeMap<CertName, Arc<Slot>>, Vec<Fault>) {
    let mut faults = Vec::new();
    for (name, last) in in_service.into_iter().flatten().filter(|(_, last)| last.is_good(now)) {
        let Some(new) = certs.get_mut(name) else { continue };
        if let Some(why) = dates((new.not_before, new.not_after), now) {
            let folder = Path::new(CERTS).join(new.folder_name().unwrap_or_default());
            faults.push(Fault::of_file(folder.join(CHAIN), why));
            *new = Arc::clone(last);
        }
    }
    (certs, faults)
}

/// The next time at which a certificate expires or becomes valid, of those in service and of those in the files.
pub(super) fn next_date<'a>(slots: impl Iterator<Item = &'a Arc<Slot>>, now: Timestamp) -> Option<Timestamp> {
    let after = |last: Timestamp| last.saturating_add(Duration::from_millis(1));
    slots.flat_map(|slot| [slot.not_before, after(slot.not_after)]).filter(|at| now < *at).min()
}

/// Warns of a certificate that has expired or is not valid yet. It is served all the same where there is no better one.
fn dates((not_before, not_after): (Timestamp, Timestamp), now: Timestamp) -> Option<String> {
    if now > not_after {
        return Some(format!("has expired {}", days(now, not_after, "ago")));
    }
    if now < not_before {
        return Some(format!("becomes valid {}", days(not_before, now, "from now")));
    }
    None
}

fn days(later: Timestamp, earlier: Timestamp, direction: &str) -> String {
    match later.saturating_duration_since(earlier).as_secs() / DAY {
        0 => format!("less than a day {direction}"),
        1 => format!("1 day {direction}"),
        days => format!("{days} days {direction}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        config::{Loaded, Loader, SlugKey},
        domain::time::Clock,
    };

    const SLUGS: SlugKey = SlugKey([7; 32]);
    const HOST: &str = "wagtail.meet.example";

    /// A configuration with one host.
    fn configuration() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (file, text) in [
            (
                "anteroom.toml",
                "base_domains = [\"meet.example\"]\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[servers.bbb-01]\n\
                 url = \"https://bbb-01.meet.example\"\nsecret = \"secret of the first server\"\npool = \"members\"\n",
            ),
            (
                "policies/small.toml",
                "title = \"Small\"\npool = \"members\"\n[limits]\naccounts = 2\nrooms = 3\nparticipants = 4\n\
                 duration = \"1h\"\nrecording = \"never\"\nown_domains = 0\nbranding = false\n",
            ),
            (
                "tenants/wagtail.toml",
                "name = \"Wagtail\"\npolicy = \"small\"\nhosts = [\"wagtail.meet.example\"]\n\
                 [secrets]\nmain = \"secret of the tenant\"\n",
            ),
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
            fs::write(path, text).expect("written");
        }
        dir
    }

    /// Brings a certificate with these days as its dates.
    fn bring(dir: &Path, from: i64, until: i64) {
        let day = |n: i64| time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(n);
        let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).expect("a legal name");
        (params.not_before, params.not_after) = (day(from), day(until));
        let key = rcgen::KeyPair::generate().expect("a key");
        let folder = dir.join("certs").join(HOST);
        fs::create_dir_all(&folder).expect("a directory");
        fs::write(folder.join(CHAIN), params.self_signed(&key).expect("a certificate").pem()).expect("written");
        fs::write(folder.join(KEY), key.serialize_pem()).expect("written");
    }

    fn until(loaded: &Loaded) -> i64 {
        loaded.certs.find(HOST).next().map_or(0, |slot| slot.not_after.as_secs() / 86_400)
    }

    #[test]
    fn one_of_the_files_goes_into_service_when_it_becomes_valid_or_the_good_one_is_over() {
        for (next, days_until) in [((1010, 1200), 10), ((900, 950), 100)] {
            let (dir, clock) = (configuration(), Clock::manual(Timestamp::from_secs(1000 * 86_400)));
            bring(dir.path(), 990, 1100);
            let mut loader = Loader::new(dir.path(), clock.clone());
            assert_eq!(until(&loader.load(&SLUGS).expect("sound")), 1100);
            bring(dir.path(), next.0, next.1);
            let reload = loader.reload(&SLUGS);
            assert_eq!((reload.loaded.is_none(), reload.faults.len()), (true, 1), "not now");
            let length = Duration::from_secs(days_until * DAY);
            let date = loader.next_date().expect("there is one");
            assert_eq!(date.as_secs(), clock.now().saturating_add(length).as_secs());
            clock.advance(length.saturating_sub(Duration::from_secs(1)));
            assert!(loader.reload(&SLUGS).loaded.is_none(), "a second before");
            clock.advance(Duration::from_secs(2));
            let reload = loader.reload(&SLUGS);
            assert_eq!(reload.faults, []);
            assert_eq!(until(&reload.loaded.expect("another one")), next.1);
            assert!(loader.next_date().is_none_or(|at| clock.now() < at));
        }
    }
}
