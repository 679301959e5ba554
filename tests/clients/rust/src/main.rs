//! One call through the crate `bigbluebutton`: see tests/clients/libraries.rs for the steps.
//!
//! The crate keeps the fields of its answers to itself, but for `Debug`: they are read from there.

use bigbluebutton::{
    Bigbluebutton, Execute,
    administration::{CreateMeetingRequest, EndMeetingRequest},
    monitoring::{GetMeetingInfoRequest, GetMeetingsRequest, IsMeetingRunningRequest},
};
use form_urlencoded::byte_serialize;
use serde_json::{Map, Value};

/// The crate's names of the fields that are asked for, and the API's.
const FIELDS: [(&str, &str); 10] = [
    ("return_code", "returncode"),
    ("message_key", "messageKey"),
    ("message", "message"),
    ("meeting_id", "meetingID"),
    ("meeting_name", "meetingName"),
    ("moderator_pw", "moderatorPW"),
    ("participant_count", "participantCount"),
    ("full_name", "fullName"),
    ("role", "role"),
    ("running", "running"),
];

#[tokio::main(basic_scheduler)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let step = args.next().expect("a step");
    let plan: Value = serde_json::from_str(&args.next().expect("a plan")).expect("a plan in JSON");
    let of = |name: &str| plan[name].as_str().unwrap_or_default().to_owned();
    let bbb = Bigbluebutton::new(&of("url"), &of("secret"));
    let meeting = Some(of("meeting"));
    let told = match step.as_str() {
        "create" => {
            let mut request = CreateMeetingRequest::new();
            (request.name, request.meeting_id) = (Some(of("name")), meeting);
            format!("{:?}", bbb.execute(&request).await)
        }
        "isMeetingRunning" => {
            let mut request = IsMeetingRunningRequest::new();
            request.meeting_id = meeting;
            format!("{:?}", bbb.execute(&request).await)
        }
        "getMeetingInfo" => {
            let mut request = GetMeetingInfoRequest::new();
            request.meeting_id = meeting;
            format!("{:?}", bbb.execute(&request).await)
        }
        "getMeetings" => format!("{:?}", bbb.execute(&GetMeetingsRequest::new()).await),
        "join" => {
            // The crate signs what it is given: who calls it encodes.
            let encoded = |name| byte_serialize(of(name).as_bytes()).collect::<String>();
            let (user, meeting, password) = (encoded("user"), encoded("meeting"), encoded("password"));
            let params = vec![("fullName", &*user), ("meetingID", &*meeting), ("password", &*password)];
            println!("{}", serde_json::json!({ "url": bbb.generate_url("join", params) }));
            return;
        }
        "end" => {
            let mut request = EndMeetingRequest::new();
            (request.meeting_id, request.password) = (meeting, Some(of("password")));
            format!("{:?}", bbb.execute(&request).await)
        }
        other => panic!("no step: {other}"),
    };
    let fields = FIELDS.iter().filter_map(|(field, name)| Some(((*name).to_owned(), value(&told, field)?)));
    println!("{}", Value::Object(fields.collect::<Map<_, _>>()));
}

/// The first value of a field in what `Debug` wrote: a text, perhaps optional, or the name of a variant.
fn value(told: &str, field: &str) -> Option<Value> {
    let (_, rest) = told.split_once(&format!(" {field}: "))?;
    let rest = rest.strip_prefix("Some(").unwrap_or(rest);
    if !rest.starts_with('"') {
        return Some(rest.split([',', ' ', ')']).next()?.into());
    }
    // What `Debug` escapes in these texts JSON escapes alike.
    serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()
}
