//! [`Files`]: what the files say one by one, and which of them have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, fs, io,
    path::Path,
    str::FromStr,
    sync::Arc,
};

use super::{
    certs,
    convert::Outcome,
    fault::Fault,
    files::{Reading, Source, in_words},
    gateway::{self, Gateway},
    policy,
    settings::SlugKey,
    tenant::{self, Draft},
    wording,
};
use crate::{
    domain::{
        ids::{PolicyId, TenantId},
        pages::{Language, Tag},
        tenant::Policy,
    },
    tls::certs::{Cert, CertName},
};

pub(super) const POLICIES: &str = "policies";
pub(super) const TENANTS: &str = "tenants";
pub(super) const CERTS: &str = "certs";
pub(super) const PAGES: &str = "pages";

/// What the files say, one by one, as they were read last.
#[derive(Debug, Default)]
pub(super) struct Files {
    slug_key: Option<[u8; 32]>,
    pub gateway: Option<Entry<Arc<Gateway>>>,
    pub policies: BTreeMap<PolicyId, Entry<Option<Arc<Policy>>>>,
    pub tenants: BTreeMap<TenantId, Entry<Arc<Draft>>>,
    pub certs: BTreeMap<CertName, Entry<Option<Arc<Cert>>>>,
    pub languages: BTreeMap<Tag, Entry<Option<Arc<Language>>>>,
    pub template: Option<Entry<Option<Arc<String>>>>,
    /// Directories that cannot be read, and names that are none.
    pub odd: Vec<Fault>,
}

/// What one file came to.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub value: T,
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
    pub reading: Reading,
}

impl<T> Entry<T> {
    /// Whether nothing is wrong with it.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl<T: PartialEq> Entry<Option<Arc<T>>> {
    /// The value if it is sound, else the last good one; also when they are equal, so that nothing is built anew for it.
    pub(super) fn sound_or(&self, last: Option<&Arc<T>>) -> Option<Arc<T>> {
        let new = self.value.as_ref().filter(|_| self.is_sound());
        last.filter(|last| new.is_none_or(|new| new == *last)).or(new).cloned()
    }
}

impl Files {
    /// Reads what has changed since the last time; whether anything has.
    pub(super) fn refresh(&mut self, from: Source<'_>, key: &SlugKey) -> bool {
        if self.slug_key.replace(key.0) != Some(key.0) {
            self.gateway = None;
        }
        let mut odd = Vec::new();
        let gateway = || gateway::read(from, key).map(Arc::new);
        let mut changed = refresh_entry(&mut self.gateway, gateway);
        changed |= refresh_folder(from.dir, POLICIES, &mut self.policies, &mut odd, |file, id| {
            policy::read(from, file, id).map(|policy| policy.map(Arc::new))
        });
        changed |= refresh_folder(from.dir, TENANTS, &mut self.tenants, &mut odd, |file, _| {
            tenant::read(from, file).map(Arc::new)
        });
        changed |= refresh_folder(from.dir, CERTS, &mut self.certs, &mut odd, |folder, name| {
            certs::read(from, folder, name).map(|cert| cert.map(Arc::new))
        });
        changed |= refresh_folder(from.dir, PAGES, &mut self.languages, &mut odd, |file, _| {
            wording::language(from, file).map(|language| language.map(Arc::new))
        });
        changed |= refresh_entry(&mut self.template, || wording::template(from).map(|template| template.map(Arc::new)));
        changed |= self.odd != odd;
        self.odd = odd;
        changed
    }

    /// The files it was all made of.
    pub(super) fn readings(&self) -> impl Iterator<Item = &Reading> {
        let gateway = self.gateway.iter().map(|entry| &entry.reading);
        let policies = self.policies.values().map(|entry| &entry.reading);
        let tenants = self.tenants.values().map(|entry| &entry.reading);
        let certs = self.certs.values().map(|entry| &entry.reading);
        let languages = self.languages.values().map(|entry| &entry.reading);
        let template = self.template.iter().map(|entry| &entry.reading);
        gateway.chain(policies).chain(tenants).chain(certs).chain(languages).chain(template)
    }

    /// The faults that single files have.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let gateway = self.gateway.iter().map(|entry| &entry.faults);
        let policies = self.policies.values().map(|entry| &entry.faults);
        let tenants = self.tenants.values().map(|entry| &entry.faults);
        let certs = self.certs.values().map(|entry| &entry.faults);
        let languages = self.languages.values().map(|entry| &entry.faults);
        let template = self.template.iter().map(|entry| &entry.faults);
        let texts = languages.chain(template);
        gateway.chain(policies).chain(tenants).chain(certs).chain(texts).chain([&self.odd]).flatten().cloned().collect()
    }
}

/// Reads a file again if it has changed; whether that made a difference.
fn refresh_entry<T: PartialEq>(slot: &mut Option<Entry<T>>, read: impl FnOnce() -> Outcome<T>) -> bool {
    if slot.as_ref().is_some_and(|entry| entry.reading.is_current()) {
        return false;
    }
    let Outcome { value, faults, warnings, reading } = read();
    if let Some(old) = slot
        && old.value == value
        && old.faults == faults
        && old.warnings == warnings
    {
        // The old value stays, so that what was built from it is known to be current.
        old.reading = reading;
        return false;
    }
    *slot = Some(Entry { value, faults, warnings, reading });
    true
}

/// Reads what has changed in a directory of files (or, for certificates, of directories) that are named by their keys.
fn refresh_folder<K: Ord + FromStr<Err: fmt::Display>, T: PartialEq>(
    dir: &Path,
    folder: &str,
    entries: &mut BTreeMap<K, Entry<T>>,
    odd: &mut Vec<Fault>,
    read: impl Fn(&Path, &K) -> Outcome<T>,
) -> bool {
    let names = match names(&dir.join(folder), folder == CERTS) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound && entries.is_empty() => {
            return false;
        }
        Err(error) => {
            // All of it stays: that every tenant goes at once is hardly meant.
            odd.push(Fault::of_file(folder, in_words(error)));
            return false;
        }
    };
    let mut changed = false;
    let mut old = std::mem::take(entries);
    for name in names {
        let file = Path::new(folder).join(&name);
        // What is no UTF-8 is no name either.
        let text = name.to_str().unwrap_or_default();
        let text = if folder == CERTS { text } else { text.strip_suffix(".toml").unwrap_or_default() };
        let key = match text.parse::<K>() {
            Ok(key) => key,
            Err(why) => {
                odd.push(Fault::of_file(file, format!("its name is not a valid id: {why}")));
                continue;
            }
        };
        if entries.contains_key(&key) {
            odd.push(Fault::of_file(file, "is for the same name as another one here"));
            continue;
        }
        let mut slot = old.remove(&key);
        changed |= refresh_entry(&mut slot, || read(&file, &key));
        entries.extend(slot.map(|entry| (key, entry)));
    }
    changed | !old.is_empty()
}

/// The names in a directory, in order: directories, or `.toml` files. Hidden ones are none of ours.
fn names(path: &Path, directories: bool) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let path = path.join(&name);
        let bytes = name.as_encoded_bytes();
        let wanted = if directories { path.is_dir() } else { bytes.ends_with(b".toml") };
        if wanted && !bytes.starts_with(b".") {
            names.insert(name);
        }
    }
    Ok(names)
}
