//! The refusals of bbb-web, word for word, and which of several it tells.

/// One broken rule: the `messageKey` and the `message` a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) key: &'static str,
    pub(crate) message: &'static str,
}

const fn violation(key: &'static str, message: &'static str) -> Violation {
    Violation { key, message }
}

pub(crate) const CHECKSUM_MISSING: Violation = violation("checksumError", "You must provide the checksum");
pub(crate) const CHECKSUM_WRONG: Violation = violation("checksumError", "Checksums do not match");
pub(crate) const RECORDINGS_CHECKSUM: Violation =
    violation("checksumError", "You did not pass the checksum security check");
pub(crate) const CONTENT_TYPE: Violation =
    violation("unsupportedContentType", "POST request Content-Type is missing or unsupported");
pub(crate) const UNKNOWN_CALL: Violation = violation("validationError", "Request not recognized");

pub(crate) const ID_SIZE: Violation = violation("sizeError", "Meeting ID must be between 2 and 256 characters");
pub(crate) const ID_COMMA: Violation = violation("validationError", "Meeting ID cannot contain ','");
pub(crate) const ID_MISSING: Violation = violation("validationError", "Invalid meeting ID");
pub(crate) const NAME_MISSING: Violation = violation("nullError", "You must provide a meeting name");
pub(crate) const NAME_EMPTY: Violation = violation("emptyError", "You must provide a meeting name");
pub(crate) const NAME_SIZE: Violation = violation("sizeError", "Meeting name must be between 2 and 256 characters");
pub(crate) const PASSWORD_SIZE: Violation = violation("invalidPassword", "Invalid password");
pub(crate) const VOICE_BRIDGE: Violation = violation("validationError", "Voice bridge must be an integral value");
pub(crate) const RECORD: Violation = violation("validationError", "Record must be a boolean value (true or false)");
pub(crate) const BREAKOUT: Violation =
    violation("validationError", "You must provide a boolean value (true or false) for the breakout room");
pub(crate) const ID_NOT_UNIQUE: Violation =
    violation("idNotUnique", "A meeting already exists with that meeting ID.  Please use a different meeting ID.");
pub(crate) const DUPLICATE: Violation =
    violation("duplicateWarning", "This conference was already in existence and may currently be in progress.");
pub(crate) const VOICE_BRIDGE_TAKEN: Violation =
    violation("nonUniqueVoiceBridge", "The selected voice bridge is already in use.");
pub(crate) const PARENT_MISSING: Violation =
    violation("parentMeetingIDMissing", "No parent meeting ID was provided for the breakout room");
pub(crate) const PARENT_UNKNOWN: Violation =
    violation("parentMeetingDoesNotExist", "No parent meeting exists for the breakout room");

pub(crate) const NOT_FOUND: Violation = violation("notFound", "A meeting with that ID does not exist");
pub(crate) const JOIN_UNKNOWN: Violation =
    violation("invalidMeetingIdentifier", "A meeting with that ID does not exist");
pub(crate) const JOIN_ENDED: Violation =
    violation("meetingForciblyEnded", "You can not join a meeting that has already been forcibly ended");
pub(crate) const FULL_NAME: Violation = violation("missingParamFullName", "You must provide your name");
pub(crate) const GUEST: Violation = violation("validationError", "Guest must be a boolean value (true or false)");
pub(crate) const AUTH: Violation = violation("validationError", "Auth must be a boolean value (true or false)");
pub(crate) const INTEGRAL: Violation = violation("validationError", "Value must be an integral number");
pub(crate) const PASSWORD_WRONG: Violation =
    violation("invalidPassword", "The provided password is neither a moderator or attendee password");
pub(crate) const PASSWORD_NEEDED: Violation = violation("Params required", "You must enter a valid password");
pub(crate) const ROLE_OR_PASSWORD: Violation = violation(
    "Params required",
    "You must either send the valid role of the user, or the password, sould the meeting has one.",
);
pub(crate) const CREATE_TIME: Violation =
    violation("mismatchCreateTimeParam", "The createTime parameter submitted mismatches with the current meeting.");
pub(crate) const FULL: Violation =
    violation("maxParticipantsReached", "The number of participants allowed for this meeting has been reached.");
pub(crate) const GUEST_DENIED: Violation =
    violation("guestDeniedAccess", "You have been denied access to this meeting based on the meeting's guest policy");

pub(crate) const SESSION_MISSING: Violation = violation("missingToken", "You must provide a session token");
pub(crate) const SESSION_UNKNOWN: Violation = violation("missingSession", "Invalid session token");
pub(crate) const SESSION_DENIED: Violation = violation("guestDeny", "User denied access for this session");

pub(crate) const MESSAGE_MISSING: Violation = violation("nullError", "You must provide the param message");
pub(crate) const MESSAGE_SIZE: Violation = violation("sizeError", "Param message must be between 1 and 500 characters");
pub(crate) const MEETING_NOT_FOUND: Violation = violation("meetingNotFound", "Meeting not found");
pub(crate) const RECORD_ID: Violation = violation("missingParamRecordID", "You must specify a recordID.");
pub(crate) const PUBLISH: Violation =
    violation("missingParamPublish", "You must specify a publish value true or false.");
pub(crate) const NO_SUCH_RECORDING: Violation = violation("notFound", "We could not find recordings");

/// The one violation that bbb-web reports: the first in the bucket order of the Java `HashMap` that it collects them in.
pub(crate) fn first(violations: Vec<Violation>) -> Result<(), Violation> {
    violations.into_iter().min_by_key(|violation| bucket(violation.key)).map_or(Ok(()), Err)
}

/// Bucket of a key, and its place there.
fn bucket(key: &str) -> (u8, u8) {
    match key {
        "checksumError" => (1, 0),
        "unsupportedContentType" => (1, 1),
        "guestDeny" => (3, 0),
        "emptyError" => (4, 0),
        "missingParamFullName" => (6, 0),
        "meetingForciblyEnded" => (7, 0),
        "invalidPassword" => (8, 0),
        "invalidMeetingIdentifier" => (10, 0),
        "notFound" => (10, 1),
        "sizeError" => (11, 0),
        "validationError" => (14, 0),
        "nullError" => (14, 1),
        "missingParamMeetingID" => (15, 0),
        "missingToken" => (15, 1),
        "missingSession" => (15, 2),
        _ => (16, 0),
    }
}
