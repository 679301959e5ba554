//! BBB's validation of the parameters of a call, with its messages and their order.
//!
//! The gateway validates before its own limits, so that an invalid call gets BBB's error and not that of a limit. Checks that
//! need the state of the server (passwords, creation times) are left to it.

use super::{
    answer::Failure,
    meeting_id::{MEETING_ID_UNITS, units},
    query::Params,
};

/// The size of a meeting's name, in UTF-16 units.
const NAME_UNITS: std::ops::RangeInclusive<usize> = 2..=256;
/// The size of a password, likewise.
const PASSWORD_UNITS: std::ops::RangeInclusive<usize> = 2..=64;
/// The size of a chat message, likewise.
const MESSAGE_UNITS: std::ops::RangeInclusive<usize> = 1..=500;

/// Checks a `create`.
///
/// # Errors
/// The one violation that BBB reports.
pub fn create(params: &Params) -> Result<(), Failure> {
    let mut found = of_the_id(params);
    let mut check = |broken: bool, failure| found.extend(broken.then_some(failure));
    let value = |name| params.get(name);
    let text = |name| params.get(name).filter(|value| !value.is_empty());
    check(value("meetingID").is_none(), Failure::MEETING_ID_INVALID);
    check(value("name").is_none(), Failure::NAME_MISSING);
    check(value("name") == Some(""), Failure::NAME_EMPTY);
    check(text("name").is_some_and(|name| !NAME_UNITS.contains(&units(name))), Failure::NAME_SIZE);
    for password in ["attendeePW", "moderatorPW"] {
        check(text(password).is_some_and(|pw| !PASSWORD_UNITS.contains(&units(pw))), Failure::PASSWORD_SIZE);
    }
    check(text("voiceBridge").is_some_and(|bridge| !is_integral(bridge)), Failure::VOICE_BRIDGE);
    check(value("record").is_some_and(|flag| !is_boolean(flag)), Failure::RECORD);
    check(value("isBreakout").is_some_and(|flag| !is_boolean(flag)), Failure::BREAKOUT_FLAG);
    told(&found)
}

/// Checks a `join`; `exists` says whether there is such a meeting.
///
/// # Errors
/// The one violation that BBB reports.
pub fn join(params: &Params, exists: bool) -> Result<(), Failure> {
    let mut found = of_the_id(params);
    let mut check = |broken: bool, failure| found.extend(broken.then_some(failure));
    // BBB counts a meeting that is not there as ended as well, and reports that
    // (docs/reference/bbb-protocol.md, "Order of errors").
    check(!exists, Failure::ENDED);
    check(params.get("fullName").is_none_or(str::is_empty), Failure::FULL_NAME_MISSING);
    // A password that is wrong outranks these, and only the server knows it.
    if params.get("password").is_none_or(str::is_empty) || params.get("role").is_some_and(|role| !role.is_empty()) {
        check(params.get("guest").is_some_and(|flag| !is_boolean(flag)), Failure::GUEST);
        check(params.get("auth").is_some_and(|flag| !is_boolean(flag)), Failure::AUTH);
        let time = params.get("createTime").filter(|time| !time.is_empty());
        check(time.is_some_and(|time| !is_integral(time)), Failure::INTEGRAL);
    }
    told(&found)
}

/// Checks a call about one meeting, and gives its id; `missing` is what BBB says where there is none.
///
/// # Errors
/// The one violation that BBB reports.
pub fn about_a_meeting(params: &Params, missing: Failure) -> Result<&str, Failure> {
    told(&of_the_id(params))?;
    params.get("meetingID").ok_or(missing)
}

/// Checks a `sendChatMessage`.
///
/// # Errors
/// The one violation that BBB reports.
pub fn chat_message(params: &Params) -> Result<(), Failure> {
    let mut found = of_the_id(params);
    match params.get("message").map(units) {
        None => found.push(Failure::MESSAGE_MISSING),
        Some(size) if MESSAGE_UNITS.contains(&size) => {}
        Some(_) => found.push(Failure::MESSAGE_SIZE),
    }
    told(&found)
}

/// What is wrong with the id of a meeting; one that is missing passes here.
fn of_the_id(params: &Params) -> Vec<Failure> {
    let Some(id) = params.get("meetingID") else { return Vec::new() };
    let mut found = Vec::new();
    if !MEETING_ID_UNITS.contains(&units(id)) {
        found.push(Failure::MEETING_ID_SIZE);
    }
    if id.contains(',') {
        found.push(Failure::MEETING_ID_COMMA);
    }
    found
}

/// Whether BBB takes a text for a boolean. What it makes of it is another matter: `1` is false.
#[must_use]
pub fn is_boolean(text: &str) -> bool {
    ["true", "false", "0", "1", ""].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether BBB takes a text for a whole number.
#[must_use]
pub fn is_integral(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The first violation in the order of the buckets of the Java map that BBB collects them in
/// (docs/reference/bbb-protocol.md, "Order of errors").
fn told(found: &[Failure]) -> Result<(), Failure> {
    found.iter().min_by_key(|failure| bucket(&failure.key)).map_or(Ok(()), |failure| Err(failure.clone()))
}

fn bucket(key: &str) -> u8 {
    match key {
        "checksumError" | "unsupportedContentType" => 1,
        "guestDeny" => 3,
        "emptyError" => 4,
        "missingParamFullName" => 6,
        "meetingForciblyEnded" => 7,
        "invalidPassword" => 8,
        "invalidMeetingIdentifier" | "notFound" => 10,
        "sizeError" => 11,
        "validationError" | "nullError" => 14,
        _ => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query.as_bytes()).expect("a query")
    }

    #[test]
    fn of_several_violations_bbb_tells_the_one_in_the_first_bucket() {
        let long = "x".repeat(257);
        for (query, expected) in [
            ("name=ab&meetingID=ab".to_owned(), Ok(())),
            ("name=ab&meetingID=ab&record=1&voiceBridge=-1&attendeePW=".to_owned(), Ok(())),
            (String::new(), Err(Failure::MEETING_ID_INVALID)),
            ("meetingID=ab".to_owned(), Err(Failure::NAME_MISSING)),
            ("meetingID=a&name=".to_owned(), Err(Failure::NAME_EMPTY)),
            ("meetingID=a&name=ab&attendeePW=x".to_owned(), Err(Failure::PASSWORD_SIZE)),
            (format!("meetingID=a%2Cb&name={long}"), Err(Failure::NAME_SIZE)),
            ("meetingID=ab&name=ab&record=maybe".to_owned(), Err(Failure::RECORD)),
            ("meetingID=ab&name=ab&voiceBridge=x".to_owned(), Err(Failure::VOICE_BRIDGE)),
            ("meetingID=ab&name=ab&isBreakout=perhaps".to_owned(), Err(Failure::BREAKOUT_FLAG)),
            ("meetingID=ab&name=ab&isBreakout=TRUE".to_owned(), Ok(())),
            ("meetingID=ab&name=ab&isBreakout=1".to_owned(), Ok(())),
        ] {
            assert_eq!(create(&params(&query)), expected, "{query}");
        }
        for (query, exists, expected) in [
            ("meetingID=ab&fullName=A", true, Ok(())),
            ("meetingID=ab&fullName=", false, Err(Failure::FULL_NAME_MISSING)),
            ("meetingID=a&fullName=A", false, Err(Failure::ENDED)),
            ("meetingID=ab&fullName=A&guest=x", true, Err(Failure::GUEST)),
            ("meetingID=ab&fullName=A&auth=x", true, Err(Failure::AUTH)),
            ("meetingID=ab&fullName=A&createTime=x&role=VIEWER&password=p", true, Err(Failure::INTEGRAL)),
            ("meetingID=ab&fullName=A&createTime=x&password=p", true, Ok(())),
        ] {
            assert_eq!(join(&params(query), exists), expected, "{query}");
        }
    }
}
