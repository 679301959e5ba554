//! Answers in BBB's format: [`Failure`], the one error of its API, and the answers of the gateway itself.

use std::borrow::Cow;

use bytes::Bytes;
use quick_xml::escape::escape;

use crate::domain::{backend_error::BodyFault, denial::Denial};

/// Why an API call is refused, by a rule of BBB's or of the gateway's or by the server: `messageKey` and `message` of a `FAILED`
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable key.
    pub key: Cow<'static, str>,
    /// The sentence that clients show.
    pub message: Cow<'static, str>,
    /// The gateway's own refusal that it is counted as; `None` for a rule of BBB's.
    pub denial: Option<Denial>,
    /// The form whose checksum does not fit, or does not cover it: for the log.
    pub form: Option<Box<UnfitForm>>,
}

/// A form that is not accepted for its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitForm {
    /// The checksum in it; `None` where there is none.
    pub checksum: Option<Box<str>>,
    /// All other parameters, those of the query too, in the order they came, as a form.
    pub fields: Box<str>,
    /// Whether the call's checksum fits the query: then it does not cover the form.
    pub fits_query: bool,
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $message:literal;)*) => {
        impl Failure {
            $($(#[$doc])* pub const $name: Self = Self::new(Cow::Borrowed($key), Cow::Borrowed($message));)*

            const KEYS: &[&str] = &[$($key,)*];
        }
    };
}

// The texts are BBB's own (docs/reference/bbb-protocol.md, "Error keys"): clients compare them.
failures! {
    /// The digest fits none of the secrets, or there is more than one.
    CHECKSUM = "checksumError", "Checksums do not match";
    /// There is no checksum.
    CHECKSUM_MISSING = "checksumError", "You must provide the checksum";
    /// A POST of another type than the call takes.
    CONTENT_TYPE = "unsupportedContentType", "POST request Content-Type is missing or unsupported";
    /// `meetingID` is shorter than 2 or longer than 256.
    MEETING_ID_SIZE = "sizeError", "Meeting ID must be between 2 and 256 characters";
    /// `meetingID` has a comma.
    MEETING_ID_COMMA = "validationError", "Meeting ID cannot contain ','";
    /// `create` without `meetingID`.
    MEETING_ID_INVALID = "validationError", "Invalid meeting ID";
    /// A call without the `meetingID` that it needs.
    MEETING_ID_MISSING = "missingParamMeetingID", "You must provide a meeting ID";
    /// `create` without `name`.
    NAME_MISSING = "nullError", "You must provide a meeting name";
    /// `create` with an empty `name`.
    NAME_EMPTY = "emptyError", "You must provide a meeting name";
    /// `name` is shorter than 2 or longer than 256.
    NAME_SIZE = "sizeError", "Meeting name must be between 2 and 256 characters";
    /// A password of `create` that is shorter than 2 or longer than 64.
    PASSWORD_SIZE = "invalidPassword", "Invalid password";
    /// `voiceBridge` is no number.
    VOICE_BRIDGE = "validationError", "Voice bridge must be an integral value";
    /// `record` is no boolean.
    RECORD = "validationError", "Record must be a boolean value (true or false)";
    /// `isBreakout` is no boolean.
    BREAKOUT_FLAG = "validationError", "You must provide a boolean value (true or false) for the breakout room";
    /// `guest` is no boolean.
    GUEST = "validationError", "Guest must be a boolean value (true or false)";
    /// `auth` is no boolean.
    AUTH = "validationError", "Auth must be a boolean value (true or false)";
    /// Another meeting has this id, with other passwords.
    ID_NOT_UNIQUE = "idNotUnique",
        "A meeting already exists with that meeting ID.  Please use a different meeting ID.";
    /// A number that is none.
    INTEGRAL = "validationError", "Value must be an integral number";
    /// A breakout room without `parentMeetingID`.
    PARENT_MISSING = "parentMeetingIDMissing", "No parent meeting ID was provided for the breakout room";
    /// A breakout room of no running meeting.
    PARENT_UNKNOWN = "parentMeetingDoesNotExist", "No parent meeting exists for the breakout room";
    /// A breakout room without a number, or with another than a meeting has: not BBB's text, its key.
    SEQUENCE = "validationError", "The number of a breakout room is a whole number from 1 to 16";
    /// A breakout room where the level has none: not BBB's text, its key.
    BREAKOUTS_OFF = "validationError", "Breakout rooms are disabled for this meeting";
    /// More breakout rooms than a meeting may have: not BBB's text, its key.
    BREAKOUTS_MAX = "validationError", "The meeting has no place for another breakout room";
    /// A parameter that is given twice, or a query that is no UTF-8: not BBB's text, its key.
    QUERY = "validationError", "A parameter is given twice or cannot be read";
    /// The body of a `create` is no XML of modules: not BBB's text, its key.
    MODULES = "validationError", "The body is no XML document of modules";
    /// A document that a server must not fetch: not BBB's text, its key.
    DOCUMENT_ADDRESS = "validationError", "A document is at an address that must not be fetched";
    /// A body that broke off or took too long: not BBB's text, its key.
    BODY = "validationError", "The body of the request could not be read";
    /// A body that was broken off.
    BODY_SLOW = "validationError", "The body of the request came too slowly";
    /// No meeting has this id.
    NOT_FOUND = "notFound", "A meeting with that ID does not exist";
    /// A chat message for a meeting that is not there.
    MEETING_NOT_FOUND = "meetingNotFound", "Meeting not found";
    /// A chat message without text.
    MESSAGE_MISSING = "nullError", "You must provide the param message";
    /// A chat message of more than 500 characters, or of none.
    MESSAGE_SIZE = "sizeError", "Param message must be between 1 and 500 characters";
    /// A join to a meeting that is not there: what BBB reports of the two violations
    /// (docs/reference/bbb-protocol.md, "Order of errors").
    ENDED = "meetingForciblyEnded", "You can not join a meeting that has already been forcibly ended";
    /// A join without `fullName`.
    FULL_NAME_MISSING = "missingParamFullName", "You must provide your name";
    /// A call of the client without a session token.
    TOKEN_MISSING = "missingToken", "You must provide a session token";
    /// A call of the client with a session token that is none.
    SESSION_INVALID = "missingSession", "Invalid session token";
    /// A call that BBB does not know.
    UNKNOWN_CALL = "validationError", "Request not recognized";
    /// A recordings call without a checksum, or with one that does not fit.
    RECORDINGS_CHECKSUM = "checksumError", "You did not pass the checksum security check";
    /// A recordings call without `recordID`.
    RECORD_ID_MISSING = "missingParamRecordID", "You must specify a recordID.";
    /// `publishRecordings` without `publish`.
    PUBLISH_MISSING = "missingParamPublish", "You must specify a publish value true or false.";
    /// None of the recordings is there.
    RECORDINGS_NOT_FOUND = "notFound", "We could not find recordings";
    /// A call of `hooks/*` without a checksum, or with one that does not fit.
    HOOKS_CHECKSUM = "checksumError", "You did not pass the checksum security check.";
    /// `hooks/create` without `callbackURL`.
    CALLBACK_URL_MISSING = "missingParamCallbackURL", "You must specify a callbackURL in the parameters.";
    /// `hooks/destroy` without `hookID`.
    HOOK_ID_MISSING = "missingParamHookID", "You must specify a hookID in the parameters.";
    /// `hooks/destroy` of a hook that the tenant does not have.
    HOOK_NOT_FOUND = "destroyMissingHook", "The hook informed was not found.";
    /// A hook at an address that must not be called: not BBB's text, its key.
    HOOK_ADDRESS = "createHookError", "The callbackURL is not an address that may be called";
    /// A hook for data that is not of one tenant: not BBB's text, its key.
    HOOK_RAW = "createHookError", "Raw data is not available";
    /// A hook whose meeting or events are too long: not BBB's text, its key.
    HOOK_FILTER = "createHookError", "The meetingID or the eventID is too long";
    /// More hooks than the tenant may have: not BBB's text, its key.
    HOOKS_MAX = "createHookError", "There are as many hooks as the service level allows";
}

impl Failure {
    const fn new(key: Cow<'static, str>, message: Cow<'static, str>) -> Self {
        Self { key, message, denial: None, form: None }
    }

    /// What a server has said.
    #[must_use]
    pub fn by_server(key: String, message: String) -> Self {
        Self::new(key.into(), message.into())
    }

    /// A parameter has a value that its rule does not admit: not BBB's text, its key.
    #[must_use]
    pub fn param(name: &str) -> Self {
        Self::new("validationError".into(), format!("Param '{name}' has a value that is not allowed").into())
    }

    /// Whether a checksum did not fit.
    #[must_use]
    pub fn is_checksum(&self) -> bool {
        self.key == Self::CHECKSUM.key && self.denial.is_none()
    }

    /// Its key, as a word for the log: one that is known here, or `other`.
    #[must_use]
    pub fn known_key(&self) -> &'static str {
        Self::KEYS.iter().find(|key| **key == self.key).unwrap_or(&"other")
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        let failure = Self::new(denial.key().into(), denial.message().into());
        Self { denial: Some(denial), ..failure }
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Broken | BodyFault::Refused => Self::BODY,
            BodyFault::Slow => Self::BODY_SLOW,
            BodyFault::TooLarge => Denial::TooLarge.into(),
            BodyFault::NoRoom => Denial::Overloaded.into(),
        }
    }
}

/// A `FAILED` answer.
#[must_use]
pub fn failed(key: &str, message: &str) -> String {
    format!(
        "<response><returncode>FAILED</returncode><messageKey>{}</messageKey><message>{}</message></response>",
        escape(key),
        escape(message)
    )
}

/// A `SUCCESS` that says nothing else, as `signOut` has it.
#[must_use]
pub fn success() -> String {
    "<response><returncode>SUCCESS</returncode></response>".to_owned()
}

/// A `FAILED` answer without a key, as `insertDocument` has it.
#[must_use]
pub fn failed_plainly(message: &str) -> String {
    format!("<response><returncode>FAILED</returncode><message>{}</message></response>", escape(message))
}

/// The answer of `getUser`: the address of a tenant's API, and its secret.
#[must_use]
pub fn user(api_url: &str, secret: &str) -> String {
    let (api_url, secret) = (escape(api_url), escape(secret));
    format!(
        "<response><returncode>SUCCESS</returncode><user><apiURL>{api_url}</apiURL><secret>{secret}</secret></user>\
         </response>"
    )
}

/// The answer of `isMeetingRunning`.
#[must_use]
pub fn running(running: bool) -> String {
    format!("<response><returncode>SUCCESS</returncode><running>{running}</running></response>")
}

/// The answer of `getMeetings`, in pieces, from whole `<meeting>` elements.
#[must_use]
pub fn meetings(elements: Vec<Bytes>) -> Vec<Bytes> {
    framed(
        elements,
        "<response><returncode>SUCCESS</returncode><meetings>",
        "</meetings></response>",
        "</meetings><messageKey>noMeetings</messageKey><message>no meetings were found on this server</message></response>",
    )
}

/// The answer of `getSessions`, in pieces, from whole `<meeting>` elements.
#[must_use]
pub fn sessions(elements: Vec<Bytes>) -> Vec<Bytes> {
    framed(
        elements,
        "<response><returncode>SUCCESS</returncode><sessions>",
        "</sessions></response>",
        "</sessions><messageKey>noSessions</messageKey><message>no sessions were found on this serverr</message></response>",
    )
}

/// A list as it is sent: nothing of it is copied.
fn framed(mut elements: Vec<Bytes>, head: &'static str, tail: &'static str, empty: &'static str) -> Vec<Bytes> {
    let tail = if elements.is_empty() { empty } else { tail };
    elements.insert(0, Bytes::from_static(head.as_bytes()));
    elements.push(Bytes::from_static(tail.as_bytes()));
    elements
}

/// What the version call tells: where the client finds its GraphQL, on the tenant's own host.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// The host as the caller wrote it, with its port where it has one.
    pub authority: &'a str,
    /// `/s/<slug>` on the address of a meeting, else empty.
    pub prefix: &'a str,
    /// `html5PluginSdkVersion` as the servers report it, else empty.
    pub plugin_sdk: &'a str,
}

impl Version<'_> {
    /// The answer as XML.
    #[must_use]
    pub fn to_xml(self) -> String {
        let Self { authority, prefix, plugin_sdk } = self;
        format!(
            "<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>\
             <bbbVersion/><graphqlWebsocketUrl>wss://{0}{1}/graphql</graphqlWebsocketUrl>\
             <graphqlApiUrl>https://{0}{1}/api/rest</graphqlApiUrl>\
             <html5PluginSdkVersion>{2}</html5PluginSdkVersion></response>",
            escape(authority),
            prefix,
            escape(plugin_sdk)
        )
    }

    /// The answer as JSON: what the client asks for with `Content-Type: application/json`.
    #[must_use]
    pub fn to_json(self) -> String {
        let Self { authority, prefix, plugin_sdk } = self;
        serde_json::json!({"response": {
            "returncode": "SUCCESS",
            "version": "2.0",
            "apiVersion": "2.0",
            "bbbVersion": "",
            "graphqlWebsocketUrl": format!("wss://{authority}{prefix}/graphql"),
            "graphqlApiUrl": format!("https://{authority}{prefix}/api/rest"),
            "html5PluginSdkVersion": plugin_sdk,
        }})
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_xml_is_escaped() {
        assert_eq!(
            failed("k", "a < b & c"),
            "<response><returncode>FAILED</returncode><messageKey>k</messageKey>\
             <message>a &lt; b &amp; c</message></response>"
        );
    }
}
