//! Callbacks: kept, claimed, delivered, said again.

use super::{rows::WAITING_MAX, *};
use crate::domain::callback::{Form, State, TRIED_FOR};

for_both!(
    the_addresses_of_a_meeting_are_known_by_its_code,
    what_is_said_again_is_one_until_it_is_delivered,
    a_meeting_ends_once_whoever_says_so,
    an_end_that_no_server_tells_is_added_unless_the_room_goes_on,
    what_is_held_is_not_claimed_until_its_time_is_over,
    tenants_are_served_in_turn,
    a_tenant_has_only_so_many_that_wait,
    what_is_given_up_is_tried_again_when_asked,
    a_try_in_flight_does_not_undo_what_the_operator_asks_for,
    what_belongs_to_a_meeting_goes_with_it,
);

const CODE: [u8; 16] = [7; 16];
const READY: &str = "meta_bbb-recording-ready-url";

fn address(parameter: &str) -> CallbackAddress {
    let url = format!("https://school.example/{parameter}");
    CallbackAddress { parameter: parameter.into(), url, secret: "main/1".into() }
}

fn said(form: Form, content: &[u8], at: i64) -> NewCallback<'_> {
    NewCallback { form, algorithm: "HS256", content, now: ms(at), try_until: ms(at).saturating_add(TRIED_FOR) }
}

fn claim(at: i64) -> Claim {
    Claim { most: 100, of_tenant: 100, now: ms(at), until: ms(at + 60_000) }
}

/// A meeting with the addresses of these parameters.
async fn meeting(store: &Store, tenant: &str, ext_id: &str, parameters: &[&str]) -> (MeetingRow, Vec<CallbackAddress>) {
    let (tenant, server) = (tenant.parse().expect("an id"), "bbb-01".parse().expect("an id"));
    let new = room(&tenant, &server, "a", ext_id);
    let Ok(Admitted::New { id, .. }) = store.meetings().admit(&new, None::<fn(RoomUsage) -> Result<(), Denial>>).await
    else {
        panic!("a new room")
    };
    let addresses: Vec<_> = parameters.iter().map(|parameter| address(parameter)).collect();
    let code = [id.get() as u8; 16];
    store.callbacks().add_addresses(id, &code, &addresses).await.expect("kept");
    store.callbacks().addresses(&code).await.expect("read").expect("there")
}

async fn say(store: &Store, meeting: &(MeetingRow, Vec<CallbackAddress>), new: NewCallback<'_>) -> Kept {
    let to: Vec<_> = meeting.1.iter().map(|address| (address, "what was said")).collect();
    store.callbacks().add(&meeting.0, &new, &to).await.expect("written")
}

async fn claimed(store: &Store, at: i64) -> Vec<CallbackRow> {
    store.callbacks().claim(claim(at)).await.expect("claimed")
}

async fn the_addresses_of_a_meeting_are_known_by_its_code(fixture: Fixture) {
    let store = &fixture.store;
    let id = create(store, "a", "one", 5).await.expect("a room");
    let both = [address("meetingEndedURL"), address("meta_endcallbackurl")];
    store.callbacks().add_addresses(id, &CODE, &both).await.expect("kept");
    // The call is made once more, by a gateway that has taken the room over.
    store.callbacks().add_addresses(id, &CODE, &both).await.expect("kept");
    let (found, addresses) = store.callbacks().addresses(&CODE).await.expect("read").expect("there");
    assert_eq!((found.id, addresses.as_slice()), (id, &both[..]));
    assert_eq!(store.callbacks().addresses(&[8; 16]).await.expect("read"), None);
}

async fn what_is_said_again_is_one_until_it_is_delivered(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &[READY]).await;
    for at in [10, 20] {
        assert_eq!(say(store, &room, said(Form::Parameters, b"r1", at)).await, Kept::Yes);
    }
    say(store, &room, said(Form::Parameters, b"r2", 30)).await;
    let first = claimed(store, 40).await;
    assert_eq!(first.iter().map(|row| row.received_at).collect::<Vec<_>>(), [ms(10), ms(30)]);
    for row in &first {
        store.callbacks().delivered(row, "HTTP 200").await.expect("written");
    }
    assert_eq!(claimed(store, 1_000_000).await, []);
    let delivered = store.callbacks().list(None, State::Delivered).await.expect("listed");
    assert!(delivered.iter().all(|row| row.tries == 1 && row.result.as_deref() == Some("HTTP 200")));
    // The recording is made anew, and its server says the same as before.
    say(store, &room, said(Form::Parameters, b"r1", 50)).await;
    assert_eq!(claimed(store, 60).await.iter().map(|row| &*row.body).collect::<Vec<_>>(), ["what was said"]);
    // A late word of the delivery before does not count for this one.
    store.callbacks().delivered(&first[0], "HTTP 200").await.expect("written");
    assert_eq!(store.callbacks().list(None, State::Waiting).await.expect("listed").len(), 1);
}

async fn a_meeting_ends_once_whoever_says_so(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &["meetingEndedURL", "meta_endcallbackurl"]).await;
    store.meetings().end(room.0.id, ms(1_500)).await.expect("ended");
    say(store, &room, said(Form::Ended, b"", 1_600)).await;
    let rows = claimed(store, 1_700).await;
    assert_eq!(rows.len(), 2, "one for each address");
    store.callbacks().delivered(&rows[0], "HTTP 200").await.expect("written");
    for at in [2_000, 3_000] {
        say(store, &room, said(Form::Ended, b"", at)).await;
        let added =
            store.callbacks().add_missing_ends(&said(Form::Ended, b"", at), ms(0), ms(at)).await.expect("looked");
        assert_eq!(added, 0);
    }
    assert_eq!(claimed(store, 1_000_000).await.len(), 1, "the other one is still to be delivered");
}

async fn an_end_that_no_server_tells_is_added_unless_the_room_goes_on(fixture: Fixture) {
    let store = &fixture.store;
    let (running, gone, again) = (
        meeting(store, "wagtail", "running", &["meetingEndedURL"]).await,
        meeting(store, "wagtail", "gone", &["meetingEndedURL", READY]).await,
        meeting(store, "wagtail", "again", &["meetingEndedURL"]).await,
    );
    for ended in [&gone, &again] {
        store.meetings().end(ended.0.id, ms(2_000)).await.expect("ended");
    }
    meeting(store, "wagtail", "again", &[READY]).await;
    assert_eq!(say(store, &again, said(Form::Ended, b"", 4_000)).await, Kept::Yes);
    assert_eq!(claimed(store, 4_000).await, [], "nor does its server's late word count");
    let end = said(Form::Ended, b"", 5_000);
    assert_eq!(
        store.callbacks().add_missing_ends(&end, ms(0), ms(1_999)).await.expect("looked"),
        0,
        "its server may yet tell"
    );
    assert_eq!(
        store.callbacks().add_missing_ends(&end, ms(2_000), ms(9_000)).await.expect("looked"),
        0,
        "that was long ago"
    );
    for added in [1, 0] {
        assert_eq!(store.callbacks().add_missing_ends(&end, ms(0), ms(9_000)).await.expect("looked"), added);
    }
    let rows = claimed(store, 5_000).await;
    let row = rows.first().expect("one");
    assert_eq!((row.ext_id.as_str(), &*row.body, row.form), ("gone", "false", Form::Ended));
    assert!(running.0.reserved_by().is_some() && rows.len() == 1);
}

async fn what_is_held_is_not_claimed_until_its_time_is_over(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &[READY]).await;
    say(store, &room, said(Form::Parameters, b"r", 0)).await;
    let first = claimed(store, 0).await.pop().expect("one");
    assert_eq!(claimed(store, 59_999).await, []);
    let second = claimed(store, 60_000).await.pop().expect("the gateway that had it has died");
    store.callbacks().failed(&first, "late", Some(ms(1))).await.expect("written");
    assert_eq!(claimed(store, 60_001).await, [], "the first one has it no more");
    store.callbacks().failed(&second, "HTTP 500", Some(ms(90_000))).await.expect("written");
    assert_eq!(claimed(store, 89_999).await, []);
    let third = claimed(store, 90_000).await.pop().expect("due");
    assert_eq!((third.tries, third.result.as_deref()), (1, Some("HTTP 500")));
}

async fn tenants_are_served_in_turn(fixture: Fixture) {
    let store = &fixture.store;
    let (many, few) = (meeting(store, "many", "one", &[READY]).await, meeting(store, "few", "one", &[READY]).await);
    for n in 0..20_u8 {
        say(store, &many, said(Form::Parameters, &[n], i64::from(n))).await;
    }
    say(store, &few, said(Form::Parameters, b"r", 100)).await;
    let claim = |most| Claim { most, of_tenant: 3, ..claim(1_000) };
    let tenants = |rows: Vec<CallbackRow>| {
        let mut all: Vec<_> = rows.into_iter().map(|row| row.tenant.to_string()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(tenants(store.callbacks().claim(claim(2)).await.expect("claimed")), ["few", "many"]);
    assert_eq!(tenants(store.callbacks().claim(claim(9)).await.expect("claimed")), ["many", "many"]);
    assert_eq!(tenants(store.callbacks().claim(claim(9)).await.expect("claimed")), [""; 0], "three are in flight");
}

async fn a_tenant_has_only_so_many_that_wait(fixture: Fixture) {
    let store = &fixture.store;
    let (full, other) = (meeting(store, "many", "one", &[READY]).await, meeting(store, "few", "one", &[READY]).await);
    for n in 0..WAITING_MAX {
        assert_eq!(say(store, &full, said(Form::Parameters, &n.to_be_bytes(), n)).await, Kept::Yes);
    }
    assert_eq!(say(store, &full, said(Form::Parameters, b"one more", 0)).await, Kept::Full);
    assert_eq!(say(store, &other, said(Form::Parameters, b"r", 0)).await, Kept::Yes);
    let ended = meeting(store, "many", "two", &["meetingEndedURL"]).await;
    assert_eq!(say(store, &ended, said(Form::Ended, b"", 0)).await, Kept::Yes, "ends are few");
}

async fn a_try_in_flight_does_not_undo_what_the_operator_asks_for(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &[READY]).await;
    say(store, &room, said(Form::Parameters, b"r", 0)).await;
    let row = claimed(store, 0).await.pop().expect("one");
    store.callbacks().retry(row.id, ms(10), ms(900_000_000)).await.expect("written").expect("there");
    store.callbacks().failed(&row, "HTTP 500", None).await.expect("written");
    let again = claimed(store, 60_000).await.pop().expect("when the first one holds it no more");
    assert_eq!((again.try_until, again.result), (ms(900_000_000), None));
}

async fn what_is_given_up_is_tried_again_when_asked(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &[READY]).await;
    say(store, &room, said(Form::Parameters, b"r", 0)).await;
    let row = claimed(store, 0).await.pop().expect("one");
    store.callbacks().failed(&row, "HTTP 500", None).await.expect("written");
    assert_eq!(claimed(store, 1_000_000).await, []);
    let heron = "heron".parse().expect("an id");
    let listed = store.callbacks().list(Some(&row.tenant), State::GivenUp).await.expect("listed");
    assert_eq!(
        (listed.len(), store.callbacks().list(Some(&heron), State::GivenUp).await.expect("listed").len()),
        (1, 0)
    );
    let again = store.callbacks().retry(row.id, ms(2_000_000), ms(9_000_000)).await.expect("written").expect("there");
    assert_eq!((again.state, again.due_at, again.try_until), (State::Waiting, ms(2_000_000), ms(9_000_000)));
    assert_eq!((&*listed[0].body, &*again.body), ("", ""), "a body is not for the operator");
    let row = claimed(store, 2_000_000).await.pop().expect("due");
    assert_eq!(row.body, "what was said");
    store.callbacks().delivered(&row, "HTTP 200").await.expect("written");
    for id in [row.id, row.id + 1] {
        assert_eq!(store.callbacks().retry(id, ms(0), ms(1)).await.expect("looked"), None, "delivered, or none");
    }
}

async fn what_belongs_to_a_meeting_goes_with_it(fixture: Fixture) {
    let store = &fixture.store;
    let room = meeting(store, "wagtail", "one", &[READY]).await;
    say(store, &room, said(Form::Parameters, b"r", 0)).await;
    store.meetings().end(room.0.id, ms(2_000)).await.expect("ended");
    assert_eq!(store.ended().purge(ms(2_000)).await.expect("purged"), 0);
    assert_eq!(claimed(store, 0).await.len(), 1);
    assert_eq!(store.ended().purge(ms(2_001)).await.expect("purged"), 1);
    assert_eq!(store.callbacks().addresses(&[room.0.id.get() as u8; 16]).await.expect("read"), None);
    assert_eq!(store.callbacks().list(None, State::Waiting).await.expect("listed"), []);
}

#[tokio::test]
async fn two_gateways_claim_each_callback_once_on_postgres() {
    let one = Fixture::postgres().await;
    let two = Store::open(&one.url).await.expect("a store");
    let room = meeting(&one.store, "wagtail", "one", &[READY]).await;
    for n in 0..60_u8 {
        say(&one.store, &room, said(Form::Parameters, &[n], 0)).await;
    }
    let claims = (0..12).map(|n| {
        let store = if n % 2 == 0 { &one.store } else { &two };
        store.callbacks().claim(Claim { most: 10, ..claim(10) })
    });
    let claimed = futures_util::future::join_all(claims).await;
    let mut ids: Vec<_> = claimed.into_iter().flat_map(|rows| rows.expect("claimed")).map(|row| row.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "none of them twice");
    assert!(all >= 10, "{all}");
}
