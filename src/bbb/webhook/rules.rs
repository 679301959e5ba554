//! What of an event is for the tenant: the types of events with their attributes, each by a rule. A type or an attribute that
//! is not in the table goes no further, so that a new release of the service tells a tenant nothing that was not looked at.

use Rule::{Either, External, Internal, Map, Object, Person, Record, Value as Plain};

/// An attribute by its name.
pub(super) type Attribute = (&'static str, Rule);

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// The meeting's internal id: an event of another meeting is not for this tenant.
    Internal,
    /// The meeting's external id: the tenant's own takes its place.
    External,
    /// The id of a recording: that of the meeting, or the event is not for this tenant.
    Record,
    /// A text, a number, or a list of them.
    Value,
    /// What says from where somebody came.
    Person,
    /// Values by names that people choose.
    Map,
    /// An object, or a list of objects.
    Object(&'static [Attribute]),
    /// A value, an object, or a list of them.
    Either(&'static [Attribute]),
}

/// Types of events that have the same attributes.
pub(super) struct Events {
    pub(super) ids: &'static [&'static str],
    /// Whether they have what people write and say.
    pub(super) content: bool,
    pub(super) attributes: &'static [Attribute],
}

const IDS: [Attribute; 2] = [("internal-meeting-id", Internal), ("external-meeting-id", External)];
const MEETING: Attribute = ("meeting", Object(&IDS));
const PERSON: Attribute = ("user", Object(&[("internal-user-id", Plain), ("external-user-id", Plain)]));

/// Not here: passwords, the number and the conference of dial-in, which stand for the meeting at its server.
const CREATED: &[Attribute] = &[
    IDS[0],
    IDS[1],
    ("name", Plain),
    ("is-breakout", Plain),
    ("parent-id", Plain),
    ("duration", Plain),
    ("create-time", Plain),
    ("create-date", Plain),
    ("record", Plain),
    ("max-users", Plain),
    ("metadata", Map),
    ("audioBridge", Plain),
    ("cameraBridge", Plain),
    ("screenShareBridge", Plain),
];

/// Not here: the session token, and the page from which somebody came. The service tells them with any event of a person.
const USER: &[Attribute] = &[
    ("internal-user-id", Plain),
    ("external-user-id", Plain),
    ("name", Plain),
    ("role", Plain),
    ("presenter", Plain),
    ("guest", Plain),
    ("stream", Plain),
    ("listening-only", Plain),
    ("sharing-mic", Plain),
    ("muted", Plain),
    ("emoji", Plain),
    ("raise-hand", Plain),
    ("raiseHand", Plain), // how the service spells it where it makes the event of another one
    ("userdata", Map),
    ("ip-address", Person),
    ("user-agent", Person),
];

const SENDER: &[Attribute] = &[
    ("internal-user-id", Plain),
    ("external-user-id", Plain),
    ("name", Plain),
    ("time", Plain),
    ("timezone-offset", Plain),
];

const STEP: [Attribute; 7] = [
    MEETING,
    ("record-id", Record),
    ("success", Plain),
    ("step-time", Plain),
    ("workflow", Plain),
    ("recorded", Plain),
    ("duration", Plain),
];

const IMAGE: &[Attribute] =
    &[("attributes", Object(&[("width", Plain), ("height", Plain), ("alt", Plain)])), ("value", Plain)];

const FILE: [Attribute; 5] =
    [("format", Plain), ("link", Plain), ("processing_time", Plain), ("duration", Plain), ("size", Plain)];

const EXTENSIONS: Attribute =
    ("extensions", Object(&[("preview", Object(&[("images", Object(&[("image", Either(IMAGE))]))]))]));

const RECORDING: &[Attribute] = &[
    ("name", Plain),
    ("is-breakout", Plain),
    ("start-time", Plain),
    ("end-time", Plain),
    ("size", Plain),
    ("raw-size", Plain),
    ("metadata", Map),
    ("playback", Object(&[FILE[0], FILE[1], FILE[2], FILE[3], FILE[4], EXTENSIONS])),
    ("download", Object(&FILE)),
];

/// All types of events, with what is left of them.
pub(super) const EVENTS: &[Events] = &[
    Events { ids: &["meeting-created"], content: false, attributes: &[("meeting", Object(CREATED))] },
    Events {
        ids: &[
            "meeting-ended",
            "meeting-recording-started",
            "meeting-recording-stopped",
            "meeting-recording-unhandled",
        ],
        content: false,
        attributes: &[MEETING],
    },
    Events {
        ids: &["meeting-screenshare-started", "meeting-screenshare-stopped"],
        content: false,
        attributes: &[MEETING, PERSON],
    },
    Events {
        ids: &["meeting-presentation-changed"],
        content: false,
        attributes: &[("meeting", Object(&[IDS[0], IDS[1], ("presentation-id", Plain)]))],
    },
    Events {
        ids: &[
            "user-joined",
            "user-left",
            "user-audio-voice-enabled",
            "user-audio-voice-disabled",
            "user-audio-listen-only-enabled",
            "user-audio-listen-only-disabled",
            "user-audio-muted",
            "user-audio-unmuted",
            "user-audio-unhandled",
            "user-cam-broadcast-start",
            "user-cam-broadcast-end",
            "user-presenter-assigned",
            "user-presenter-unassigned",
            "user-emoji-changed",
            "user-raise-hand-changed",
        ],
        content: false,
        attributes: &[MEETING, ("user", Object(USER))],
    },
    Events {
        ids: &["chat-group-message-sent"],
        content: true,
        attributes: &[
            MEETING,
            ("chat-message", Object(&[("id", Plain), ("message", Plain), ("sender", Object(SENDER))])),
            ("chat-id", Plain),
        ],
    },
    Events {
        ids: &["pad-content"],
        content: true,
        attributes: &[
            MEETING,
            (
                "pad",
                Object(&[
                    ("id", Plain),
                    ("external-pad-id", Plain),
                    ("rev", Plain),
                    ("start", Plain),
                    ("end", Plain),
                    ("text", Plain),
                ]),
            ),
        ],
    },
    Events {
        ids: &["poll-started", "poll-responded"],
        content: true,
        attributes: &[
            MEETING,
            PERSON,
            (
                "poll",
                Object(&[
                    ("id", Plain),
                    ("question", Plain),
                    ("answers", Object(&[("id", Plain), ("key", Plain)])),
                    ("answerIds", Plain),
                ]),
            ),
        ],
    },
    Events {
        ids: &["transcript-updated"],
        content: true,
        attributes: &[
            MEETING,
            PERSON,
            ("transcript", Object(&[("id", Plain), ("transcript", Plain), ("locale", Plain), ("final", Plain)])),
        ],
    },
    Events {
        ids: &["rap-published", "rap-unpublished", "rap-deleted"],
        content: false,
        attributes: &[STEP[0], STEP[1], STEP[2], STEP[3], STEP[4], ("format", Plain)],
    },
    Events {
        ids: &[
            "rap-archive-started",
            "rap-archive-ended",
            "rap-sanity-started",
            "rap-sanity-ended",
            "rap-post-archive-started",
            "rap-post-archive-ended",
            "rap-process-started",
            "rap-process-ended",
            "rap-post-process-started",
            "rap-post-process-ended",
            "rap-publish-started",
            "rap-post-publish-started",
            "rap-post-publish-ended",
            "rap-post-events-started",
            "rap-post-events-ended",
        ],
        content: false,
        attributes: &STEP,
    },
    Events {
        ids: &["rap-publish-ended"],
        content: false,
        attributes: &[STEP[0], STEP[1], STEP[2], STEP[3], STEP[4], ("recording", Object(RECORDING))],
    },
];
