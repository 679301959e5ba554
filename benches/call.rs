//! What one API call costs before and after the network: its checksum verified, its parameters ruled, signed anew, its answer
//! rewritten. Prints the time of one operation, the fastest of several rounds.
//!
//! `cargo bench --bench call`

#![allow(clippy::unwrap_used, missing_docs, reason = "not part of an interface")]

mod fixtures;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anteroom::{
    bbb::{
        checksum::{sign, verify},
        meeting_id,
        params::create,
        query::Params,
        recordings::Reader,
        validate, xml,
    },
    domain::{ids::TenantId, rules::Rules, secret::Secret, time::Timestamp},
};
use fixtures::{QUERY, credentials, limits};

const ROUNDS: u32 = 20;
const TIMES: u32 = 2_000;

fn main() {
    let tenant: TenantId = "wagtail".parse().unwrap();
    let credentials = credentials();
    let checksum = sign("create", QUERY, &credentials[2].secrets[0].secret);
    let query = format!("{QUERY}&checksum={checksum}");
    let limits = limits();
    let rules = Rules::shipped();
    let server = Secret::new("a-server-secret-of-32-characters");
    let asked = Params::parse(QUERY.as_bytes()).unwrap();
    let ruled = create(&asked, &limits, &rules, &[]).unwrap().params;
    let answer = answer();
    let list = list(200, 20);
    let names = ["bbb-01.internal.test".parse().unwrap()];
    let reader = Reader { tenant: &tenant, names: &names, authority: "meet.wagtail.example" };
    let recordings = recordings(100);

    println!("{:<58}{:>12}", "", "one takes");
    row("create: checksum verified, three secrets", || {
        black_box(verify("create", &query, &credentials, Timestamp::EPOCH)).unwrap();
    });
    row("create: query read and validated", || {
        validate::create(&Params::parse(black_box(QUERY).as_bytes()).unwrap()).unwrap();
    });
    row("create: rules applied", || drop(black_box(create(&asked, &limits, &rules, &[]))));
    row("create: encoded and signed for the server", || drop(black_box(sign("create", &ruled.encode(), &server))));
    row("create: the answer rewritten", || drop(black_box(xml::answer(answer.as_bytes(), &tenant, None)).unwrap()));
    row("all of it", || {
        verify("create", &query, &credentials, Timestamp::EPOCH).unwrap();
        let asked = Params::parse(QUERY.as_bytes()).unwrap();
        validate::create(&asked).unwrap();
        let ruled = create(&asked, &limits, &rules, &[]).unwrap().params;
        black_box(sign("create", &ruled.encode(), &server));
        black_box(xml::answer(answer.as_bytes(), &tenant, None)).unwrap();
    });
    let own = |id: &str| meeting_id::from_server(&tenant, id).map(str::to_owned);
    row(&format!("getMeetings: 200 meetings of 20 people parsed, {} KB", list.len() / 1024), || {
        drop(black_box(xml::list(list.as_bytes(), own)).unwrap());
    });
    row(&format!("getRecordings: 100 recordings rewritten, {} KB", recordings.len() / 1024), || {
        drop(black_box(reader.list(recordings.as_bytes(), |_| Some("room".to_owned()))).unwrap());
    });
}

/// The fastest of several rounds: what else the machine does only ever adds.
fn row(name: &str, mut run: impl FnMut()) {
    let mut round = |times: u32| {
        let begun = Instant::now();
        (0..times).for_each(|_| run());
        begun.elapsed() / times
    };
    let once = round(3).max(Duration::from_nanos(1));
    let times = u32::try_from(Duration::from_millis(40).as_nanos() / once.as_nanos()).unwrap_or(TIMES).clamp(1, TIMES);
    let best = (0..ROUNDS).map(|_| round(times)).min().unwrap_or_default();
    println!("{name:<58}{:>9.1} us", best.as_secs_f64() * 1e6);
}

fn answer() -> Arc<str> {
    "<response><returncode>SUCCESS</returncode><meetingID>t.wagtail.course-4711[719]</meetingID>\
     <internalMeetingID>183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000</internalMeetingID>\
     <parentMeetingID>bbb-none</parentMeetingID><attendeePW>111222</attendeePW><moderatorPW>333444</moderatorPW>\
     <createTime>1700000000000</createTime><voiceBridge>12345</voiceBridge><dialNumber>613-555-1234</dialNumber>\
     <createDate>Tue Nov 14 22:13:20 UTC 2023</createDate><hasUserJoined>false</hasUserJoined><duration>90</duration>\
     <hasBeenForciblyEnded>false</hasBeenForciblyEnded><messageKey></messageKey><message></message></response>"
        .into()
}

fn list(meetings: usize, people: usize) -> String {
    let attendee = |n: usize| {
        format!(
            "<attendee><userID>u{n}</userID><fullName>Person {n}</fullName><role>VIEWER</role><isPresenter>false</isPresenter>\
             <isListeningOnly>false</isListeningOnly><hasJoinedVoice>false</hasJoinedVoice><hasVideo>false</hasVideo>\
             <clientType>HTML5</clientType><customdata></customdata></attendee>"
        )
    };
    let attendees: String = (0..people).map(attendee).collect();
    let meeting = |n: usize| {
        format!(
            "<meeting><meetingName>Room {n}</meetingName><meetingID>t.wagtail.room-{n}</meetingID>\
             <internalMeetingID>183f0bf3a0982a127bdb8161e0c44eb696b3e75c-{n:013}</internalMeetingID><createTime>1700000000000</createTime>\
             <running>true</running><hasBeenForciblyEnded>false</hasBeenForciblyEnded><participantCount>{people}</participantCount>\
             <attendees>{attendees}</attendees><metadata><origin>Moodle</origin></metadata><isBreakout>false</isBreakout></meeting>"
        )
    };
    let all: String = (0..meetings).map(meeting).collect();
    format!("<response><returncode>SUCCESS</returncode><meetings>{all}</meetings></response>")
}

fn recordings(recordings: usize) -> String {
    let recording = |n: usize| {
        let id = format!("183f0bf3a0982a127bdb8161e0c44eb696b3e75c-{n:013}");
        format!(
            "<recording><recordID>{id}</recordID><meetingID>t.wagtail.room</meetingID><name>Room</name><published>true</published>\
             <state>published</state><startTime>{n}</startTime><participants>7</participants><metadata><meetingId>t.wagtail.room</meetingId>\
             </metadata><playback><format><type>presentation</type><url>https://bbb-01.internal.test/playback/presentation/2.3/{id}</url>\
             <length>45</length></format></playback></recording>"
        )
    };
    let all: String = (0..recordings).map(recording).collect();
    format!("<response><returncode>SUCCESS</returncode><recordings>{all}</recordings></response>")
}
