//! Reads `[acme]` of `anteroom.toml`, and the keys that private keys are encrypted with.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{convert::Convert, keypath::KeyPath, raw, settings::Listen, sources, values};
use crate::{
    dns::Expected,
    domain::issuance::{Authority, Budget, Challenge, ExternalAccount, Issuance, KeyKind, SealingKey},
};

/// A handshake that waits longer is given up by browsers.
const ON_DEMAND_WAIT_MAX: Duration = Duration::from_secs(30);
/// Each order holds memory and connections.
const AT_ONCE_MAX: u32 = 64;

/// Reads the table; `None` for one with faults.
pub(super) fn read(raw: raw::Acme, expected: &Expected, listen: &Listen, cx: &mut Convert<'_>) -> Option<Issuance> {
    let path = KeyPath::from("acme");
    let main = raw::Fallback {
        directory: raw.directory,
        contact: raw.contact,
        root: raw.root,
        external_account: raw.external_account,
        profile: raw.profile,
    };
    let authority = authority(&path, main, cx);
    let fallback = raw.fallback.map(|raw| self::authority(&path.key("fallback"), raw, cx));
    if let (Some(Some(other)), Some(one)) = (&fallback, &authority)
        && other.directory == one.directory
    {
        cx.fault(&path.key("fallback").key("directory"), "is the same as acme.directory");
    }
    let key = raw.key_type.and_then(|text| cx.parse::<KeyKind>(&path.key("key_type"), &text)).unwrap_or_default();
    let challenges = challenges(&path.key("challenges"), raw.challenges, listen, cx);
    let dns_hook = raw.dns_hook.and_then(|words| hook(&path.key("dns_hook"), words, cx));
    let precheck = raw.precheck.unwrap_or(true);
    if precheck && *expected == Expected::default() && !cx.is_faulty(&path) {
        cx.warn(&path, "has neither addresses nor target: DNS is checked for whether hosts have addresses at all");
    }
    let on_demand_wait = raw.on_demand_wait.and_then(|text| {
        let path = path.key("on_demand_wait");
        let wait = values::length(&path, &text, cx)?;
        cx.keep(&path, (wait <= ON_DEMAND_WAIT_MAX).then_some(wait).ok_or("must be from \"0s\" to \"30s\""))
    });
    let budget = budget(&path.key("budget"), raw.budget.unwrap_or_default(), cx);
    Some(Issuance {
        authority: authority?,
        fallback: fallback.flatten(),
        key,
        challenges,
        dns_hook,
        addresses: expected.addresses.clone(),
        target: expected.target.clone(),
        precheck,
        on_demand_wait: on_demand_wait.unwrap_or_default(),
        budget,
    })
}

fn authority(path: &KeyPath, raw: raw::Fallback, cx: &mut Convert<'_>) -> Option<Authority> {
    let directory = raw.directory.and_then(|directory| {
        let is_https = directory
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.scheme() == Some(&http::uri::Scheme::HTTPS) && uri.authority().is_some());
        cx.keep(&path.key("directory"), is_https.then_some(directory).ok_or("must be an https:// address"))
    });
    let contacts = path.key("contact");
    let contact = raw.contact.unwrap_or_default();
    for (index, contact) in contact.iter().enumerate() {
        if !contact.strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
            let entry = cx.entry(&contacts, index);
            cx.fault(&entry, "must be \"mailto:\" and an address");
        }
    }
    let root = raw.root.and_then(|name| root(&path.key("root"), &name, cx));
    let external_account = raw.external_account.map(|raw| external_account(&path.key("external_account"), raw, cx));
    let profile = raw.profile.filter(|profile| !profile.is_empty());
    Some(Authority { directory: directory?, contact, root, external_account: external_account.flatten(), profile })
}

fn root(path: &KeyPath, name: &str, cx: &mut Convert<'_>) -> Option<PathBuf> {
    let (file, bytes) = sources::file(path, name, cx)?;
    if CertificateDer::from_pem_slice(&bytes).is_err() {
        cx.fault(path, format!("the file {name:?} has no certificate in PEM form"));
    }
    Some(file)
}

fn external_account(path: &KeyPath, raw: raw::ExternalAccount, cx: &mut Convert<'_>) -> Option<ExternalAccount> {
    let path_of_key = path.key("key");
    let key = raw.key.and_then(|text| sources::hidden(&path_of_key, &text, cx));
    if let Some(key) = &key {
        let bytes = key.reveal().as_bytes();
        if BASE64URL_NOPAD.decode(bytes).is_err() && BASE64URL.decode(bytes).is_err() {
            cx.fault(&path_of_key, "must be base64url, as the certificate authority shows it");
        }
    }
    Some(ExternalAccount { id: raw.id?, key: key? })
}

fn challenges(path: &KeyPath, texts: Option<Vec<String>>, listen: &Listen, cx: &mut Convert<'_>) -> Vec<Challenge> {
    let chosen = match &texts {
        Some(texts) => cx.list::<Challenge>(path, texts).into_iter().map(|at| at.value).collect(),
        None => vec![Challenge::Http01, Challenge::TlsAlpn01],
    };
    if chosen.is_empty() && !cx.is_faulty(path) {
        cx.fault(path, "must name \"http-01\", \"tls-alpn-01\" or both");
    }
    let lacks = |challenge, addresses: &[_]| chosen.contains(&challenge) && addresses.is_empty();
    if lacks(Challenge::Http01, &listen.http) && (texts.is_some() || listen.https.is_empty()) {
        cx.warn(path, "http-01 needs an address in listen.http that port 80 leads to");
    }
    if lacks(Challenge::TlsAlpn01, &listen.https) {
        cx.warn(path, "tls-alpn-01 needs an address in listen.https that port 443 leads to");
    }
    // Without a listener for it, a challenge cannot be met.
    let can = |challenge: &Challenge| match challenge {
        Challenge::Http01 => !listen.http.is_empty(),
        Challenge::TlsAlpn01 => !listen.https.is_empty(),
    };
    chosen.into_iter().filter(can).collect()
}

/// A command that can be run: an absolute path, or one relative to the configuration directory.
fn hook(path: &KeyPath, mut words: Vec<String>, cx: &mut Convert<'_>) -> Option<Vec<String>> {
    let Some(program) = words.first_mut().filter(|program| !program.is_empty()) else {
        cx.fault(path, "must be a command with its arguments");
        return None;
    };
    let file = cx.dir.join(&*program);
    let is_executable =
        |file: &Path| fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    if !is_executable(&file) {
        cx.fault(path, format!("{program:?} is no file that can be executed"));
        return None;
    }
    *program = file.to_string_lossy().into_owned();
    Some(words)
}

fn budget(path: &KeyPath, raw: raw::Budget, cx: &mut Convert<'_>) -> Budget {
    let mut number = |key: &str, number: Option<i64>, most: u32, usual: u32| {
        let Some(number) = number else { return usual };
        let legal = u32::try_from(number).ok().filter(|number| (1..=most).contains(number));
        let fault = if most == u32::MAX {
            "must be a whole number of at least 1".into()
        } else {
            format!("must be a whole number from 1 to {most}")
        };
        cx.keep(&path.key(key), legal.ok_or(fault)).unwrap_or(usual)
    };
    let usual = Budget::default();
    Budget {
        orders_of_account: number("orders_of_account", raw.orders_of_account, u32::MAX, usual.orders_of_account),
        orders_of_domain: number("orders_of_domain", raw.orders_of_domain, u32::MAX, usual.orders_of_domain),
        orders_of_name: number("orders_of_name", raw.orders_of_name, u32::MAX, usual.orders_of_name),
        failures_of_name: number("failures_of_name", raw.failures_of_name, u32::MAX, usual.failures_of_name),
        at_once: number("at_once", raw.at_once, AT_ONCE_MAX, usual.at_once),
    }
}

/// The keys that private keys are encrypted with in the store, newest first.
pub(super) fn encryption_keys(sources: Option<raw::Sources>, cx: &mut Convert<'_>) -> Vec<SealingKey> {
    let path = KeyPath::from("store.encryption_key");
    let entries = match sources {
        None => return Vec::new(),
        Some(raw::Sources::One(text)) => vec![(path, text)],
        Some(raw::Sources::Many(texts)) => {
            texts.into_iter().enumerate().map(|(n, text)| (cx.entry(&path, n), text)).collect()
        }
    };
    let keys = entries.into_iter().filter_map(|(path, text)| {
        if !text.starts_with("file:") && !text.starts_with("env:") {
            cx.fault(&path, "must be \"file:PATH\" or \"env:NAME\": a key must not be in this file");
            return None;
        }
        let secret = sources::hidden(&path, &text, cx)?;
        cx.parse::<SealingKey>(&path, secret.reveal())
    });
    keys.collect()
}

/// Reports `[acme]` without a key to encrypt with.
pub(super) fn check_key(keys: &[SealingKey], cx: &mut Convert<'_>) {
    let path = KeyPath::from("store.encryption_key");
    if keys.is_empty() && !cx.is_faulty(&path) {
        let reason = "is missing, and [acme] needs it to encrypt private keys in the store: make one with `openssl rand \
                      -base64 32 > secrets/encryption-key`, chmod 600, and set store.encryption_key = \
                      \"file:secrets/encryption-key\"";
        cx.fault(&KeyPath::from("acme"), format!("store.encryption_key {reason}"));
    }
}
