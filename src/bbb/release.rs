//! Releases of BBB: which one a server runs, and what becomes of parameters that a release no longer knows. What releases know is
//! data (`table`); what an operator should hear of it is in `advice`.

pub mod advice;
mod table;

use std::{borrow::Cow, fmt};

use super::{params::appended, query::Params};
use crate::domain::rules::Of;
use table::{FEATURES, GONE, Instead, LAYOUT_PARAMS, LAYOUTS, NEW, SAFE};

/// A release. One that leads to another (`4.0.0-beta.5`) counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Release {
    const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether flaws of it are published that a later one is without.
    #[must_use]
    pub fn is_outdated(self) -> bool {
        self < SAFE
    }

    /// The release of a server, by its version call: `bbbVersion` where it tells that, else the line of the plugins' SDK, which
    /// is 0.0 in 3.0 and 0.1 in 4.0. `None` where neither says enough.
    #[must_use]
    pub fn told(bbb_version: &str, plugin_sdk: &str) -> Option<Self> {
        let of_plugins = || numbers(plugin_sdk).filter(|(major, minor, _)| (0, 1) <= (*major, *minor));
        match numbers(bbb_version) {
            Some((major, minor, patch)) => Some(Self::new(major, minor, patch)),
            None => of_plugins().map(|_| Self::new(4, 0, 0)),
        }
    }
}

/// The numbers of a version: `3.0.39`, `4.0`, `4.0.0-beta.5`.
fn numbers(version: &str) -> Option<(u16, u16, u16)> {
    let (version, _) = version.split_once(['-', '+']).unwrap_or((version, ""));
    let mut parts = version.trim().split('.').map(str::parse);
    let mut next = || parts.next().transpose().ok();
    let (major, minor, patch) = (next()??, next()??, next()?.unwrap_or(0));
    parts.next().is_none().then_some((major, minor, patch))
}

/// Why a release does nothing with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// It has another one for it, or nothing.
    Gone(Instead),
    /// It does not have it yet.
    New,
    /// It has no such layout.
    Layout,
}

/// Whether a release does something with a parameter; an unlisted one is known.
fn unknown(of: Of, name: &str, value: &str, release: Release) -> Option<Unknown> {
    if LAYOUT_PARAMS.contains(&(of, name)) {
        let layout = LAYOUTS.iter().find(|layout| layout.name == value)?;
        return (!(layout.from..layout.until).contains(&release)).then_some(Unknown::Layout);
    }
    if of != Of::Create {
        return None;
    }
    let gone = GONE.iter().find(|gone| gone.name == name && gone.until <= release);
    let new = || NEW.iter().any(|new| new.name == name && release < new.from).then_some(Unknown::New);
    gone.map(|gone| Unknown::Gone(gone.instead)).or_else(new)
}

/// The parameters of a call for a server of a release: in place of what it no longer knows is what it has for that. Of a layout
/// that it does not have the server makes its default, and a client waits for it: that one does not go on. What is newer than the
/// release goes on, as servers ignore it. A server that does not tell its release gets all as it is.
#[must_use]
pub fn fit(of: Of, params: &Params, release: Option<Release>) -> Cow<'_, Params> {
    let mut fitted = Cow::Borrowed(params);
    let Some(release) = release else { return fitted };
    for (name, value) in params.iter() {
        let instead = match unknown(of, name, value, release) {
            Some(Unknown::Gone(instead)) => instead,
            Some(Unknown::Layout) => Instead::Nothing,
            Some(Unknown::New) | None => continue,
        };
        let params = fitted.to_mut();
        params.remove(name);
        match instead {
            Instead::Nothing => {}
            Instead::Named(new) if params.get(new).is_none_or(str::is_empty) => params.set(new, value),
            Instead::Named(_) => {}
            Instead::Disabled { by, feature } if value.eq_ignore_ascii_case(by) => {
                let disabled = appended(params.get(FEATURES).unwrap_or_default(), &[feature.into()]);
                params.set(FEATURES, disabled);
            }
            Instead::Disabled { .. } => {}
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_by_its_version_or_its_plugins() {
        for (bbb, plugins, expected) in [
            ("3.0.39", "0.0.97", Some("3.0.39")),
            ("2.7.20", "", Some("2.7.20")),
            ("4.0", "", Some("4.0.0")),
            ("4.0.0-beta.5", "0.1.14", Some("4.0.0")),
            (" 3.0.4 ", "", Some("3.0.4")),
            ("", "0.1.14", Some("4.0.0")),
            ("", "0.0.97", None),
            ("", "", None),
            ("develop", "", None),
            ("3", "", None),
            ("3.0.1.2", "", None),
            ("3.0.x", "", None),
            ("3.0.99999", "", None),
        ] {
            let told = Release::told(bbb, plugins).map(|release| release.to_string());
            assert_eq!(told.as_deref(), expected, "{bbb} {plugins}");
        }
        let ordered = ["2.7.20", "3.0.4", "3.0.37", "3.0.100", "4.0.0"].map(|text| Release::told(text, ""));
        assert!(ordered.is_sorted_by(|a, b| a < b), "{ordered:?}");
    }

    #[test]
    fn what_a_release_no_longer_knows_is_replaced_or_left_out() {
        let (old, new) = (Release::new(3, 0, 39), Release::new(4, 0, 0));
        for (of, given, release, expected) in [
            (Of::Create, "name=a&copyright=c&webVoice=1", old, "name=a&copyright=c&webVoice=1"),
            (Of::Create, "name=a&copyright=c&webVoice=1", new, "name=a"),
            (Of::Create, "lockSettingsDisableNote=true", old, "lockSettingsDisableNote=true"),
            (Of::Create, "lockSettingsDisableNote=true", new, "lockSettingsDisableNotes=true"),
            (
                Of::Create,
                "lockSettingsDisableNote=true&lockSettingsDisableNotes=false",
                new,
                "lockSettingsDisableNotes=false",
            ),
            (Of::Create, "learningDashboardEnabled=False", new, "disabledFeatures=learningDashboard"),
            (Of::Create, "learningDashboardEnabled=true", new, ""),
            (
                Of::Create,
                "disabledFeatures=chat&virtualBackgroundsDisabled=true",
                new,
                "disabledFeatures=chat%2CvirtualBackgrounds",
            ),
            (Of::Create, "virtualBackgroundsDisabled=false", new, ""),
            (Of::Create, "meetingLayout=SMART_LAYOUT", old, "meetingLayout=SMART_LAYOUT"),
            (Of::Create, "meetingLayout=SMART_LAYOUT", new, ""),
            (Of::Create, "meetingLayout=UNIFIED_LAYOUT", old, ""),
            (Of::Create, "meetingLayout=UNIFIED_LAYOUT", new, "meetingLayout=UNIFIED_LAYOUT"),
            (Of::Create, "meetingLayout=MEDIA_ONLY", new, "meetingLayout=MEDIA_ONLY"),
            (Of::Create, "meetingLayout=OF_THE_FUTURE", new, "meetingLayout=OF_THE_FUTURE"),
            (Of::Create, "lockSettingsPresenterPolicy=moderatorOnly", old, "lockSettingsPresenterPolicy=moderatorOnly"),
            (Of::Join, "enforceLayout=SMART_LAYOUT&copyright=c", new, "copyright=c"),
            (Of::Join, "enforceLayout=MEDIA_ONLY", Release::new(2, 7, 20), ""),
            (Of::Join, "meetingLayout=SMART_LAYOUT", new, "meetingLayout=SMART_LAYOUT"),
        ] {
            let params = Params::parse(given.as_bytes()).expect("good");
            assert_eq!(fit(of, &params, None), Cow::Borrowed(&params), "{given}");
            assert_eq!(fit(of, &params, Some(release)).encode(), expected, "{given} for {release}");
        }
    }
}
