use std::time::Duration;

use super::{fresh::Moment, sessions::Book, *};
use crate::{
    bbb::meeting_id,
    domain::{
        fixtures::tenant,
        ids::{ExternalId, MeetingNumber, SessionNumber},
        limits::Limit,
        meeting::{AFTERGLOW, Life, afterglow},
        session::Held,
    },
};

const MS: Duration = Duration::from_millis(1);

fn ms(n: i64) -> Timestamp {
    Timestamp::from_ms(n)
}

/// The internal id of the nth run of a meeting.
fn int(tenant: &str, ext_id: &str, id: i64) -> String {
    let on_server = meeting_id::to_server(&tenant.parse().expect("an id"), ext_id);
    format!("{}{:013}", meeting_id::internal_start(&on_server), id)
}

fn row(tenant: &str, ext_id: &str, server: &str, id: i64) -> Facts {
    Facts {
        id: MeetingNumber::new(id),
        tenant: tenant.parse().expect("an id"),
        account: "main".into(),
        ext_id: ExternalId::new(ext_id),
        server: server.parse().expect("an id"),
        participants: None,
        expected: None,
        life: Life::Running { internal_id: int(tenant, ext_id, id).into() },
        created_at: Timestamp::EPOCH,
        ends_at: None,
        afterglow: None,
        records: false,
    }
}

#[test]
fn a_meeting_is_its_tenants_alone() {
    let live = Live::new(Clock::system());
    live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    let (wagtail, heron) = ("wagtail".parse().expect("an id"), "heron".parse().expect("an id"));
    assert!(live.meetings.find(&wagtail, "room").is_some());
    assert!(live.meetings.find(&heron, "room").is_none());
    let (one, two) = ("bbb-01".parse().expect("an id"), "bbb-02".parse().expect("an id"));
    assert!(live.presence.reaches(&wagtail, &one, ms(0)));
    assert!(!live.presence.reaches(&wagtail, &two, ms(0)));
    assert!(!live.presence.reaches(&heron, &one, ms(0)));
}

#[test]
fn a_meeting_that_ended_is_gone_at_once_and_its_traffic_a_while_later() {
    let live = Live::new(Clock::system());
    let meeting = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    assert_eq!(live.servers.of(&meeting.server).load.people(), 1, "it is old, and empty");
    let carried_until = ms(1_000).saturating_add(AFTERGLOW);
    assert!(live.remove_meeting(&meeting, ms(1_000)));
    assert!(!live.remove_meeting(&meeting, ms(1_000)), "only once");
    assert_eq!(live.servers.of(&meeting.server).load.people(), 0);
    assert!(live.meetings.find(&meeting.tenant, "room").is_none());
    assert!(live.presence.reaches(&meeting.tenant, &meeting.server, carried_until.saturating_sub(MS)));
    assert!(!live.presence.reaches(&meeting.tenant, &meeting.server, carried_until));
    live.forget_ended(carried_until.saturating_sub(MS));
    assert!(live.meetings.of_internal(&int("wagtail", "room", 1)).is_some());
    live.forget_ended(carried_until);
    assert!(live.meetings.of_internal(&int("wagtail", "room", 1)).is_none());
}

#[test]
fn what_follows_an_end_lasts_as_long_as_its_server_was_told() {
    for (asked, minutes) in [(None, 15), (Some(2), 15), (Some(60), 61), (Some(0), 24 * 60), (Some(1_000_000), 24 * 60)]
    {
        let live = Live::new(Clock::system());
        let lasts = afterglow(asked.map(|minutes: u64| Duration::from_secs(minutes * 60)));
        assert_eq!(lasts, Duration::from_secs(minutes * 60), "{asked:?}");
        let end = Timestamp::EPOCH.saturating_add(lasts);
        let row = Facts { afterglow: Some(lasts), ..row("wagtail", "room", "bbb-01", 1) };
        let meeting = live.add_meeting(Meeting::new(row));
        // One that ends later and lasts shorter is forgotten first.
        let short = live.add_meeting(Meeting::new(self::row("wagtail", "short", "bbb-02", 2)));
        live.remove_meeting(&meeting, ms(0));
        live.remove_meeting(&short, ms(1));
        live.forget_ended(end.saturating_sub(MS));
        assert!(live.meetings.of_internal(&int("wagtail", "room", 1)).is_some(), "{asked:?}");
        assert_eq!(live.meetings.of_internal(&int("wagtail", "short", 2)).is_some(), minutes == 15, "{asked:?}");
        assert!(live.presence.reaches(&meeting.tenant, &meeting.server, end.saturating_sub(MS)));
        live.forget_ended(end);
        assert!(live.meetings.of_internal(&int("wagtail", "room", 1)).is_none(), "{asked:?}");
        assert!(!live.presence.reaches(&meeting.tenant, &meeting.server, end));
    }
}

#[test]
fn a_server_carries_a_meeting_and_those_expected_in_it_at_once() {
    let live = Live::new(Clock::system());
    let new = |ext_id, participants, expected| {
        let row = row("wagtail", ext_id, "bbb-01", 1);
        Meeting::new(Facts { created_at: live.clock.now(), participants, expected, ..row })
    };
    let load = || live.servers.of(&"bbb-01".parse().expect("an id")).load.people();
    let placing = live.servers.of(&"bbb-01".parse().expect("an id")).place(40);
    assert_eq!(load(), 40, "before it is promised");
    let hinted = live.add_meeting(new("hinted", None, Some(40)));
    drop(placing);
    assert_eq!(load(), 40);
    live.add_meeting(new("small", Some(3), None));
    assert_eq!(load(), 43, "no more than it has seats");
    live.remove_meeting(&hinted, ms(0));
    assert_eq!(load(), 3);
}

#[test]
fn a_meeting_keeps_the_limits_it_was_promised_under() {
    let mut wagtail = tenant("wagtail"); // 4 participants
    let row = Facts { participants: Some(4), ..row("wagtail", "room", "bbb-01", 1) };
    let meeting = Meeting::new(row.clone()).promised(Arc::clone(&wagtail.limits));
    Arc::make_mut(&mut wagtail.limits).participants = Limit::AtMost(2);
    assert_eq!(meeting.limits(&wagtail).participants, Limit::AtMost(4));
    let after_a_start = Meeting::new(row);
    assert_eq!(after_a_start.limits(&wagtail).participants, Limit::AtMost(2), "the tenant's");
    assert_eq!(after_a_start.seats(), Limit::AtMost(4), "but the seats are written down");
}

#[test]
fn what_was_asked_before_a_meeting_had_a_name_does_not_count() {
    let live = Live::new(Clock::system());
    let meeting = live.add_meeting(Meeting::new(Facts { life: Life::Reserved, ..row("w", "room", "b", 1) }));
    let before = Moment::now();
    live.name_meeting(&meeting, &int("w", "room", 1));
    assert!(meeting.touched() >= before);
    assert!(live.presence.servers_of(&meeting.tenant).iter().all(|(_, touched)| *touched >= before));
}

#[test]
fn the_end_of_an_old_run_does_not_take_the_new_one_out() {
    let live = Live::new(Clock::system());
    let old = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    live.remove_meeting(&old, ms(0));
    let new = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 2)));
    assert!(!live.remove_meeting(&old, ms(0)));
    assert_eq!(live.meetings.find(&new.tenant, "room").map(|m| m.id.get()), Some(2));
}

#[test]
fn what_was_read_of_an_old_run_does_not_replace_the_new_one() {
    let live = Live::new(Clock::system());
    live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 2)));
    let kept = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    assert_eq!((kept.id.get(), live.servers.of(&kept.server).load.meetings()), (2, 1));
    let next = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 3)));
    assert_eq!((next.id.get(), live.servers.of(&next.server).load.meetings()), (3, 1), "a later one does");
}

#[test]
fn a_recording_of_a_meeting_that_another_gateway_has_made_is_known() {
    let live = Live::new(Clock::system());
    let made = live.add_meeting(Meeting::new(Facts { records: true, ..row("wagtail", "room", "b", 1) }));
    assert!(live.recordings.get(&made.tenant, &int("wagtail", "room", 1)).is_some());
}

#[test]
fn a_server_gives_a_meeting_no_other_ones_name() {
    let live = Live::new(Clock::system());
    let theirs = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    let unnamed = Facts { life: Life::Reserved, records: true, ..row("heron", "room", "bbb-02", 2) };
    let ours = live.add_meeting(Meeting::new(unnamed));
    let claimed = int("wagtail", "room", 1);
    live.name_meeting(&ours, &claimed);
    assert_eq!(live.meetings.of_internal(&claimed).map(|meeting| meeting.id), Some(theirs.id));
    assert!(live.recordings.get(&ours.tenant, &claimed).is_none());
    assert!(!ours.may_be_called("nonsense") && ours.may_be_called(&int("heron", "room", 9)));
}

/// Keeps nothing.
#[derive(Clone)]
struct Unwritten;

impl Book for Unwritten {
    fn opened(&self, _: SessionNumber, _: Timestamp) {}

    fn closed(&self, _: SessionNumber, _: Timestamp, _: Timestamp) {}
}

#[tokio::test]
async fn what_is_cut_with_a_meeting_is_each_socket_of_its_sessions() {
    let live = Live::new(Clock::system());
    let meeting = live.add_meeting(Meeting::new(row("wagtail", "room", "bbb-01", 1)));
    let session = Arc::new(live.new_session(SessionNumber::new(1), &meeting, Held::WhilePresent));
    assert!(live.sessions.add([1; 32], Arc::clone(&session)));
    // Its sound comes by another gateway than its GraphQL.
    let _sound = session.open_other::<Unwritten>().expect("room");
    live.sessions.cut_of(&meeting);
    tokio::time::timeout(Duration::from_secs(1), session.is_cut()).await.expect("at once");
}
