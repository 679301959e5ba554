//! Reads `certs/<host>/`: `fullchain.pem` and `privkey.pem`.

use std::{path::Path, sync::Arc};

use super::{
    convert::Outcome,
    fault::Fault,
    files::{Reading, Source},
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
    let content = |file: &Option<Vec<u8>>| file.clone().unwrap_or_default();
    let cert = Cert::parse(name, &content(&chain), &content(&key)).map_err(|errors| {
        // What could not be read has its fault already.
        faults.extend(errors.into_iter().filter_map(|error| match error {
            CertError::Chain(why) => chain.as_ref().map(|_| Fault::of_file(folder.join(CHAIN), why)),
            CertError::Key(why) => key.as_ref().map(|_| Fault::of_file(folder.join(KEY), why)),
        }));
    });
    if let Ok(cert) = &cert {
        warnings.extend(dates(cert, now).map(|why| Fault::of_file(folder.join(CHAIN), why)));
        let file = folder.join(KEY);
        let exposed = private::exposed(&dir.join(&file));
        warnings.extend(exposed.map(|mode| Fault::of_file(&file, private::advice(&file, mode))));
        warnings.extend(cert.unlinked().map(|nth| {
            let why = format!("its certificate {nth} is not issued by the next one: clients may find no way to a root");
            Fault::of_file(folder.join(CHAIN), why)
        }));
    }
    let slot = cert.ok().map(|cert| Slot::of_files(name.clone(), whole, &cert, kept));
    Outcome { value: slot, faults, warnings, reading }
}

/// Warns of an expired or not yet valid certificate. It is served all the same.
fn dates(cert: &Cert, now: Timestamp) -> Option<String> {
    if now > cert.not_after {
        return Some(format!("has expired {}", days(now, cert.not_after, "ago")));
    }
    if now < cert.not_before {
        return Some(format!("becomes valid {}", days(cert.not_before, now, "from now")));
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
