//! What holds for whatever comes from the network: shared by the random tests (`tests/checks/arbitrary.rs`) and the fuzz
//! targets (`fuzz/`). Each takes any input and panics where its property does not hold.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, dead_code, reason = "shared by test programs")]

use std::sync::Arc;

use anteroom::{
    bbb::{
        answer::UnfitForm,
        checksum, documents, fetched, meeting_id,
        query::{Params, split_checksum},
        recordings::Reader,
        xml,
    },
    domain::{
        ids::{ExternalId, MeetingNumber, TenantId},
        meeting::Life,
        secret::Secret,
        tenant::{ApiSecret, Credential},
        time::{Clock, Timestamp},
    },
    live::{Facts, Live, Meeting},
    proxy::route::{Route, route},
};
use anteroom_bench::{
    sign::{self, Algorithm},
    sim,
};

const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";

fn tenant() -> TenantId {
    "wagtail".parse().unwrap()
}

fn credentials() -> [Credential; 1] {
    let secret = ApiSecret { secret: Secret::new(SECRET), label: "main/1".into(), not_after: None };
    [Credential { name: "main".into(), secrets: vec![secret] }]
}

/// A query is read or refused; what is read has no control characters, and is read again as it was.
pub fn query(raw: &[u8]) {
    let Ok(params) = Params::parse(raw) else { return };
    for (name, value) in params.iter() {
        assert!(!name.contains(char::is_control) && !value.contains(char::is_control));
    }
    assert_eq!(Params::parse(params.encode().as_bytes()).unwrap(), params);
}

/// What this gateway accepts as signed, BBB accepts; and what BBB accepts, this does if there is no doubt what was signed.
///
/// `rest` is a query without its checksum; that is put at `place`, made with one of the four algorithms; `bend` changes one
/// byte of the whole.
pub fn checksum(rest: &str, place: usize, algorithm: usize, bend: Option<(usize, u8)>) {
    if !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return;
    }
    let algorithm = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512][algorithm % 4];
    let sum = sign::checksum("create", rest, SECRET, algorithm);
    let mut pairs: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('&').collect() };
    let with = format!("checksum={sum}");
    pairs.insert(place % (pairs.len() + 1), &with);
    let mut whole = pairs.join("&").into_bytes();
    if let Some((at, byte)) = bend
        && byte.is_ascii_graphic()
    {
        let at = at % whole.len();
        whole[at] = byte;
    }
    let whole = String::from_utf8(whole).unwrap();
    let credentials = credentials();
    let ours = matches!(checksum::verify("create", &whole, &credentials, Timestamp::EPOCH), Ok(Some(_)));
    let theirs = sim::accepts_checksum("create", &whole, SECRET);
    if ours {
        assert!(theirs, "accepted here alone: {whole}");
    } else if theirs {
        assert!(is_doubtful(&whole), "refused here alone: {whole}");
    }
    assert!(bend.is_some() || is_doubtful(&whole) || ours, "signed, and refused: {whole}");
}

/// Whether more than one thing in a query looks like its checksum, or it is written in another way.
fn is_doubtful(query: &str) -> bool {
    let Ok(Some((rest, sum))) = split_checksum(query) else { return true };
    let named = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or("").replace('+', " ");
        percent_encoding::percent_decode_str(&name).decode_utf8_lossy().trim() == "checksum"
    });
    named.count() != 1 || rest.contains(&format!("checksum={sum}"))
}

/// A raw query never panics, and is accepted only if BBB would; whoever's secret it is.
pub fn any_query(raw: &str) {
    let credentials = credentials();
    let found = checksum::verify("join", raw, &credentials, Timestamp::EPOCH);
    let is_accepted = matches!(found, Ok(Some(_)));
    assert_eq!(checksum::is_signed_with("join", raw, &Secret::new(SECRET)), is_accepted);
    if is_accepted {
        assert!(sim::accepts_checksum("join", raw, SECRET));
    } else {
        let form = UnfitForm { checksum: Some(raw.into()), fields: raw.into(), fits_query: false };
        let _ = checksum::diagnose("join", raw, None, &credentials);
        let _ = checksum::diagnose("join", "", Some(&form), &credentials);
    }
}

/// Any bytes are an answer of BBB or garbage, and nothing of a rewritten list names another tenant's meeting.
pub fn answers(body: &[u8]) {
    let _ = xml::answer(body, &tenant(), Some("own"));
    let _ = xml::list(body, |id| meeting_id::from_server(&tenant(), id).map(str::to_owned));
    let _ = xml::sessions(body);
    let _ = xml::breakout(body);
    let tenant = tenant();
    let names = ["bbb-01.internal.test".parse().unwrap()];
    let reader = Reader { tenant: &tenant, names: &names, authority: "meet.example" };
    for recording in reader.list(body, |id| (id.len() == 54).then(|| "room".to_owned())).unwrap_or_default() {
        assert!(recording.element.starts_with("<recording") && recording.record_id.len() == 54);
    }
    let _ = reader.text_tracks(body);
}

/// Any bytes are modules or refused. What passes the one of the two readers that sees them whole, and has nothing that is
/// taken out, passes the one that sees them in pieces, however they are cut; and no address that must not be fetched is in
/// what passes.
pub fn modules(body: &[u8], step: usize) {
    let mut watch = documents::Watch::default();
    let watched = body.chunks(step.max(1)).try_for_each(|chunk| watch.pass(chunk, &fetched::is_public));
    let mut whole = documents::Watch::default();
    assert_eq!(watched, whole.pass(body, &fetched::is_public), "cut otherwise, read otherwise");
    if let Ok(clean) = documents::clean(body, fetched::is_public, |_| true) {
        let is_public = |url: &str| {
            assert!(fetched::is_public(url), "{url}");
            true
        };
        let again = documents::clean(clean.xml.as_bytes(), is_public, |_| true);
        let clean = documents::Clean { dropped: None, ..clean };
        assert_eq!(again, Ok(clean), "what is clean stays as it is");
    }
}

/// Any text is an address or not; no private one is public.
pub fn address(text: &str) {
    if fetched::is_public(text) {
        assert!(text.trim().starts_with("http"), "{text}");
    }
}

/// Any legal id is found again, by way of the record of its meeting, and by its own tenant alone.
pub fn id(id: &str) {
    if !meeting_id::MEETING_ID_UNITS.contains(&meeting_id::units(id)) {
        return;
    }
    let on_server = meeting_id::to_server(&tenant(), id);
    assert!(meeting_id::units(&on_server) <= 256 && !meeting_id::is_internal(&on_server));
    assert!(on_server.starts_with("t."), "no beginning of an internal id");
    let live = Live::new(Clock::system());
    live.add_meeting(Meeting::new(Facts {
        id: MeetingNumber::new(1),
        tenant: tenant(),
        account: "main".into(),
        ext_id: ExternalId::new(id),
        server: "bbb-01".parse().unwrap(),
        participants: None,
        expected: None,
        created_at: Timestamp::EPOCH,
        ends_at: None,
        afterglow: None,
        life: Life::Reserved,
        records: false,
    }));
    let found: Option<Arc<Meeting>> = live.meetings.on_server(&on_server);
    assert_eq!(found.map(|meeting| meeting.ext_id.to_string()).as_deref(), Some(id));
    assert!(live.meetings.find(&tenant(), id).is_some());
    let heron = "heron".parse().unwrap();
    assert!(live.meetings.find(&heron, id).is_none());
    assert_eq!(meeting_id::from_server(&heron, &on_server), None);
}

/// Any path has a route, and one that can be read in two ways is carried nowhere.
pub fn path(path: &str) {
    if let Route::Meeting { .. }
    | Route::BreakoutJoin { .. }
    | Route::RootMeeting { .. }
    | Route::OfPage { .. }
    | Route::Recording { .. } = route(path)
    {
        assert!(!path.contains(';') && !path.contains("//"), "{path}");
        assert!(!path.split('/').any(|segment| segment == ".." || segment == "."), "{path}");
    }
}
