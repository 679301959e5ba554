//! What releases of BBB know of `create` and `join`, where they differ (docs/reference/bbb-protocol.md, "Releases").

use super::Release;
use crate::domain::rules::Of;

/// The first of 3.0.
const R3_0: Release = Release::new(3, 0, 0);
/// 4.0, its betas included.
const R4_0: Release = Release::new(4, 0, 0);
/// Before all that are known.
const FIRST: Release = Release::new(0, 0, 0);
/// After all that are known.
const LAST: Release = Release::new(u16::MAX, 0, 0);

/// The oldest release without flaws of its API and its notes that are published.
pub(super) const SAFE: Release = Release::new(3, 0, 37);

/// The list of features that a meeting is to be without.
pub(super) const FEATURES: &str = "disabledFeatures";

/// The parameters that name a layout.
pub(super) const LAYOUT_PARAMS: [(Of, &str); 2] = [(Of::Create, "meetingLayout"), (Of::Join, "enforceLayout")];

/// A parameter of `create` that releases no longer read.
pub(super) struct Gone {
    pub(super) name: &'static str,
    /// The first release without it.
    pub(super) until: Release,
    pub(super) instead: Instead,
}

/// What a release has for a parameter that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    Nothing,
    /// Another name.
    Named(&'static str),
    /// A feature that is disabled where the value is this one.
    Disabled {
        by: &'static str,
        feature: &'static str,
    },
}

/// A parameter of `create` that releases read from one on.
pub(super) struct New {
    pub(super) name: &'static str,
    pub(super) from: Release,
}

/// A value of those.
pub(super) struct Layout {
    pub(super) name: &'static str,
    /// The first release that has it.
    pub(super) from: Release,
    /// The first that has not.
    pub(super) until: Release,
}

const fn gone(name: &'static str, until: Release, instead: Instead) -> Gone {
    Gone { name, until, instead }
}

const fn new(name: &'static str, from: Release) -> New {
    New { name, from }
}

const fn layout(name: &'static str, from: Release, until: Release) -> Layout {
    Layout { name, from, until }
}

pub(super) const GONE: &[Gone] = &[
    gone("copyright", R4_0, Instead::Nothing),
    gone("webVoice", R4_0, Instead::Nothing),
    gone("lockSettingsDisableNote", R4_0, Instead::Named("lockSettingsDisableNotes")),
    gone("learningDashboardEnabled", R4_0, Instead::Disabled { by: "false", feature: "learningDashboard" }),
    gone("virtualBackgroundsDisabled", R4_0, Instead::Disabled { by: "true", feature: "virtualBackgrounds" }),
];

pub(super) const NEW: &[New] = &[
    new("darklogo", R3_0),
    new("sharedNotesInitialContentMarkdown", Release::new(3, 0, 33)),
    new("sharedNotesInitialContentMarkdownUrl", Release::new(3, 0, 33)),
    new("sharedNotesInitialContentJsonUrl", Release::new(3, 0, 33)),
    new("lockSettingsPresenterPolicy", R4_0),
    new("requireUserConsentBeforeUnmuting", R4_0),
    new("notifyRecordingAppend", R4_0),
];

pub(super) const LAYOUTS: &[Layout] = &[
    layout("CUSTOM_LAYOUT", FIRST, R4_0),
    layout("SMART_LAYOUT", FIRST, R4_0),
    layout("PRESENTATION_FOCUS", FIRST, R4_0),
    layout("VIDEO_FOCUS", FIRST, R4_0),
    layout("CAMERAS_ONLY", R3_0, LAST),
    layout("PRESENTATION_ONLY", R3_0, LAST),
    layout("PARTICIPANTS_AND_CHAT_ONLY", R3_0, LAST),
    layout("MEDIA_ONLY", R3_0, LAST),
    layout("UNIFIED_LAYOUT", R4_0, LAST),
];
