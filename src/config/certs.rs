//! Reads `certs/<host>/`: `fullchain.pem` and `privkey.pem`.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Fault, convert::Outcome, files::Reading};
use crate::{
    private,
    tls::certs::{Cert, CertError, CertName},
};

const CHAIN: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
const DAY: i64 = 86_400;

/// Reads the certificate in a directory; `None` inside when it has faults.
pub(super) fn read(dir: &Path, folder: &Path, name: &CertName) -> Outcome<Option<Cert>> {
    let mut reading = Reading::default();
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
        warnings.extend(dates(cert).map(|why| Fault::of_file(folder.join(CHAIN), why)));
        let file = folder.join(KEY);
        let exposed = private::exposed(&dir.join(&file));
        warnings.extend(exposed.map(|mode| Fault::of_file(&file, private::advice(&file, mode))));
        warnings.extend(cert.unlinked().map(|nth| {
            let why = format!("its certificate {nth} is not issued by the next one: clients may find no way to a root");
            Fault::of_file(folder.join(CHAIN), why)
        }));
    }
    Outcome { value: cert.ok(), faults, warnings, reading }
}

/// Warns of an expired or not yet valid certificate. It is served all the same.
fn dates(cert: &Cert) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > cert.not_after {
        return Some(format!("has expired {}", days((now - cert.not_after) / DAY, "ago")));
    }
    if now < cert.not_before {
        return Some(format!("becomes valid {}", days((cert.not_before - now) / DAY, "from now")));
    }
    None
}

fn days(days: i64, direction: &str) -> String {
    match days {
        0 => format!("less than a day {direction}"),
        1 => format!("1 day {direction}"),
        _ => format!("{days} days {direction}"),
    }
}
