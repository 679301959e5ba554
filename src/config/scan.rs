//! [`Files`]: the contents of each file, and which of them have changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, fs, io,
    panic::resume_unwind,
    path::Path,
    str::FromStr,
    sync::Arc,
    thread,
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
    tls::{certs::CertName, slot::Slot},
};

pub(super) const POLICIES: &str = "policies";
pub(super) const TENANTS: &str = "tenants";
pub(super) const CERTS: &str = "certs";
pub(super) const PAGES: &str = "pages";

/// Certificates whose keys stay in memory when they have been read, 4 KB each. Where there are more, those without a
/// handshake so far are read again at their first one.
const KEPT_CERTS_MAX: usize = 1000;
/// So many files are worth the threads.
const PARALLEL_MIN: usize = 64;

/// The contents of each file, as last read.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub slug_key: Option<[u8; 32]>,
    pub gateway: Option<Entry<Arc<Gateway>>>,
    pub policies: BTreeMap<PolicyId, Entry<Option<Arc<Policy>>>>,
    pub tenants: BTreeMap<TenantId, Entry<Arc<Draft>>>,
    pub certs: BTreeMap<CertName, Entry<Option<Arc<Slot>>>>,
    pub languages: BTreeMap<Tag, Entry<Option<Arc<Language>>>>,
    pub template: Option<Entry<Option<Arc<String>>>>,
    /// Directories that cannot be read, and names that are none.
    pub odd: Vec<Fault>,
}

/// Result of one file.
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
    /// The value if it is sound, else the last good one; also when they are equal, so that nothing is rebuilt for it.
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
        let gateway = |_: Option<&Arc<Gateway>>| gateway::read(from, key).map(Arc::new);
        let mut changed = refresh_entry(&mut self.gateway, gateway);
        changed |= refresh_folder(from.dir, POLICIES, &mut self.policies, &mut odd, |due| {
            policy::read(from, due.file, due.key).map(|policy| policy.map(Arc::new))
        });
        changed |= refresh_folder(from.dir, TENANTS, &mut self.tenants, &mut odd, |due| {
            tenant::read(from, due.file).map(Arc::new)
        });
        changed |= refresh_folder(from.dir, CERTS, &mut self.certs, &mut odd, |due| {
            let is_asked_for = || due.old.and_then(Option::as_ref).is_some_and(|slot| slot.is_ready());
            let kept = due.of <= KEPT_CERTS_MAX || is_asked_for();
            certs::read(from, due.file, due.key, kept).map(|cert| cert.map(Arc::new))
        });
        changed |= refresh_folder(from.dir, PAGES, &mut self.languages, &mut odd, |due| {
            wording::language(from, due.file).map(|language| language.map(Arc::new))
        });
        changed |=
            refresh_entry(&mut self.template, |_| wording::template(from).map(|template| template.map(Arc::new)));
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
fn refresh_entry<T: PartialEq>(slot: &mut Option<Entry<T>>, read: impl FnOnce(Option<&T>) -> Outcome<T>) -> bool {
    if slot.as_ref().is_some_and(|entry| entry.reading.is_current()) {
        return false;
    }
    let Outcome { value, faults, warnings, reading } = read(slot.as_ref().map(|entry| &entry.value));
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

/// A file (for certificates, a directory) that has to be read.
struct Due<'a, K, T> {
    file: &'a Path,
    key: &'a K,
    /// What it was before.
    old: Option<&'a T>,
    /// How many there are in its folder, with those that need no reading.
    of: usize,
}

/// Reads what has changed in a directory of files (or, for certificates, of directories) that are named by their keys.
fn refresh_folder<K, T>(
    dir: &Path,
    folder: &str,
    entries: &mut BTreeMap<K, Entry<T>>,
    odd: &mut Vec<Fault>,
    read: impl Fn(Due<'_, K, T>) -> Outcome<T> + Sync,
) -> bool
where
    K: Ord + FromStr<Err: fmt::Display> + Send,
    T: PartialEq + Send,
{
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
    let of = names.len();
    let mut old = std::mem::take(entries);
    let mut slots = BTreeMap::new();
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
        if slots.contains_key(&key) {
            odd.push(Fault::of_file(file, "is for the same name as another one here"));
            continue;
        }
        let slot = old.remove(&key);
        slots.insert(key, (file, slot));
    }
    let read = in_parallel(slots.into_iter().collect(), |(key, (file, mut slot))| {
        let changed = refresh_entry(&mut slot, |old| read(Due { file: &file, key: &key, old, of }));
        (changed, key, slot)
    });
    let mut changed = !old.is_empty();
    // All at once, and in order: the map has full nodes then.
    let all = read.into_iter().filter_map(|(is_new, key, slot)| {
        changed |= is_new;
        Some((key, slot?))
    });
    *entries = all.collect();
    changed
}

/// The results of a function for all of a list, in its order. A long list is shared between the processors.
fn in_parallel<T: Send, U: Send>(mut all: Vec<T>, of: impl Fn(T) -> U + Sync) -> Vec<U> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    if all.len() < PARALLEL_MIN || threads < 2 {
        return all.into_iter().map(of).collect();
    }
    let size = all.len().div_ceil(threads);
    let mut parts = Vec::with_capacity(threads);
    while all.len() > size {
        parts.push(all.split_off(all.len() - size));
    }
    parts.push(all);
    let of = &of;
    thread::scope(|scope| {
        let work = |part: Vec<T>| scope.spawn(move || part.into_iter().map(of).collect::<Vec<_>>());
        // The last part was split off first.
        let threads: Vec<_> = parts.into_iter().rev().map(work).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.flatten().collect()
    })
}

/// The names in a directory, in order: directories, or `.toml` files. Hidden ones are none of ours.
fn names(path: &Path, directories: bool) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        // A directory tells what is one; a link has to be followed.
        let is_directory = || entry.file_type().is_ok_and(|kind| kind.is_dir()) || path.join(&name).is_dir();
        let wanted = if directories { is_directory() } else { bytes.ends_with(b".toml") };
        if wanted && !bytes.starts_with(b".") {
            names.insert(name);
        }
    }
    Ok(names)
}
