//! One Greenlight (v3) for all tenants: it asks for the address and the secret of each by the name in its own host, and makes its
//! calls with them, as `ProviderCredentials`, `MeetingStarter` and `BigBlueButtonApi` of its source do.

use std::{fs, time::Duration};

use anteroom_bench::{
    sign::{self, Algorithm},
    sim::RecordingSeed,
};
use futures_util::future::join_all;
use http::{Method, Request};

use crate::support::{Plan, Reply, Stage, eventually, host, program::Served, write};

const OF_THE_CALL: &str = "secret-of-the-load-balancer";

/// Wagtail answers the call; heron has a secret for Greenlight as well, plover has none.
async fn stage(sources: &str) -> Stage {
    let plan = Plan::new().server("members").tenant("plover", "level-1");
    let levels = [("wagtail", "free"), ("heron", "free"), ("robin", "multi-account")];
    let plan = levels.into_iter().fold(plan, |plan, (tenant, level)| {
        plan.tenant_with(tenant, level, &format!("---greenlight = [\"{tenant}-new\", \"{tenant}-old\"]"))
    });
    let plan = plan.file("secrets/get-user", OF_THE_CALL);
    plan.start_changed(async |text, _| format!("{text}\n{}", keys(sources))).await
}

fn keys(sources: &str) -> String {
    format!("[get_user]\nhost = \"wagtail.localhost\"\nsecret = \"file:secrets/get-user\"\nsources = [\"{sources}\"]\n")
}

/// The address of the call, as Greenlight makes it.
fn question(name: &str, secret: &str) -> String {
    let params = format!("name={name}");
    let checksum = sign::checksum("getUser", &params, secret, Algorithm::Sha1);
    format!("/bigbluebutton/api/getUser?{params}&checksum={checksum}")
}

async fn ask(stage: &Stage, name: &str) -> Reply {
    stage.client().get(&host("wagtail"), &question(name, OF_THE_CALL)).await
}

fn told(reply: &Reply) -> (&str, &str, &str) {
    (reply.xml("returncode"), reply.xml("messageKey"), reply.xml("message"))
}

/// What Greenlight has been told of a tenant.
struct Credentials {
    host: String,
    path: String,
    secret: String,
}

impl Credentials {
    fn of(reply: &Reply) -> Self {
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{reply:?}");
        let address = reply.xml("apiURL").strip_prefix("https://").unwrap();
        let (host, path) = address.split_at(address.find('/').unwrap());
        Self { host: host.to_owned(), path: path.to_owned(), secret: reply.xml("secret").to_owned() }
    }

    /// A call as bigbluebutton-api-ruby makes it: signed with SHA-1, a GET, or a POST of documents.
    async fn call(&self, stage: &Stage, call: &str, params: &[(&str, &str)], documents: Option<&str>) -> Reply {
        let query = sign::signed_query(call, params, &self.secret, Algorithm::Sha1);
        let path = format!("{}/{call}?{query}", self.path);
        match documents {
            Some(xml) => stage.client().post(&self.host, &path, "application/xml", xml.to_owned()).await,
            None => stage.client().get(&self.host, &path).await,
        }
    }

    /// `MeetingStarter`: three tries, unless another meeting has the id.
    async fn start(&self, stage: &Stage, room: &str, documents: Option<&str>) -> (usize, Reply) {
        let host = &self.host;
        let (logout, ended) = (format!("https://{host}/rooms/{room}"), format!("https://{host}/meeting_ended"));
        let ready = format!("https://{host}/recording_ready");
        let params = [
            ("name", "Ada's room"),
            ("meetingID", room),
            ("logoutURL", &*logout),
            ("meta_endCallbackUrl", &*ended),
            ("meta_bbb-recording-ready-url", &*ready),
            ("meta_bbb-origin-version", "3"),
            ("meta_bbb-origin", "greenlight"),
            ("record", "false"),
            ("muteOnStart", "true"),
            ("guestPolicy", "ALWAYS_ACCEPT"),
        ];
        let mut tries = 0;
        loop {
            let reply = self.call(stage, "create", &params, documents).await;
            tries += 1;
            let is_over = reply.xml("returncode") == "SUCCESS" || reply.xml("messageKey") == "idNotUnique";
            if is_over || tries == 3 {
                return (tries, reply);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn greenlight_is_told_address_and_secret_of_each_tenant_and_works_with_them() {
    let stage = stage("127.0.0.0/8").await;
    for tenant in ["wagtail", "heron"] {
        let reply = ask(&stage, tenant).await;
        assert_eq!(reply.header("cache-control"), "no-store");
        let greenlight = Credentials::of(&reply);
        assert_eq!((&*greenlight.host, &*greenlight.secret), (&*host(tenant), &*format!("{tenant}-new")));
        let slides = "<?xml version=\"1.0\"?><modules><module name=\"presentation\">\
                      <document url=\"https://school.example/slides.pdf\"/></module></modules>";
        let (tries, created) = greenlight.start(&stage, "room-1", Some(slides)).await;
        assert_eq!((tries, created.xml("returncode")), (1, "SUCCESS"), "{}", created.body);
        let running = greenlight.call(&stage, "isMeetingRunning", &[("meetingID", "room-1")], None).await;
        assert_eq!(running.xml("returncode"), "SUCCESS");
        let join = [
            ("fullName", "Ada"),
            ("meetingID", "room-1"),
            ("password", ""),
            ("role", "Moderator"),
            ("createTime", created.xml("createTime")),
            ("redirect", "true"),
        ];
        let joined = greenlight.call(&stage, "join", &join, None).await;
        assert_eq!(joined.status, 302, "{joined:?}");
        let list = greenlight.call(&stage, "getMeetings", &[], None).await;
        assert_eq!(list.body.matches("<meeting>").count(), 1, "{}", list.body);
        // A room more than the level has is refused three times, and leaves nothing.
        let (tries, refused) = greenlight.start(&stage, "room-2", None).await;
        assert_eq!((tries, refused.xml("messageKey")), (3, "roomLimitReached"), "{}", refused.body);
        assert!(stage.on_server(tenant, "room-2").is_none());
    }
    // The secret of the one is not that of the other.
    let heron = Credentials { host: host("heron"), ..Credentials::of(&ask(&stage, "wagtail").await) };
    let reply = heron.call(&stage, "getMeetings", &[], None).await;
    assert_eq!(reply.xml("messageKey"), "checksumError");
}

#[tokio::test(flavor = "multi_thread")]
async fn greenlight_finds_a_recording_by_its_id() {
    let stage = stage("127.0.0.1").await;
    let greenlight = Credentials::of(&ask(&stage, "robin").await);
    let room = [("meetingID", "room"), ("name", "Ada's room"), ("record", "true")];
    assert_eq!(greenlight.call(&stage, "create", &room, None).await.xml("returncode"), "SUCCESS");
    let id = stage.sims[0].add_recording(RecordingSeed {
        ext_id: "t.robin.room".into(),
        name: "Ada's room".into(),
        start_time_ms: stage.on_server("robin", "room").map(|meeting| meeting.create_time_ms),
        ..RecordingSeed::default()
    });
    stage.joined("robin", "room", "Ada").await;
    greenlight.call(&stage, "end", &room[..1], None).await;
    eventually("the recording is known", async || {
        let reply = greenlight.call(&stage, "getRecordings", &[("recordID", &id)], None).await;
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
        reply.xml("recordID") == id
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_and_an_unknown_name_get_the_same_answer() {
    let stage = stage("127.0.0.1").await;
    let good = question("heron", OF_THE_CALL);
    let sum = good.rsplit('=').next().unwrap().to_owned();
    let mut answers = Vec::new();
    for (what, path) in [
        ("an unknown name", question("nightjar", OF_THE_CALL)),
        ("a tenant without such a secret", question("plover", OF_THE_CALL)),
        ("another secret", question("heron", "heron-new")),
        ("the secret of a tenant", question("wagtail", "wagtail-secret")),
        ("another name", good.replace("name=heron", "name=wagtail")),
        ("no checksum", "/bigbluebutton/api/getUser?name=heron".to_owned()),
        ("a second name", format!("/bigbluebutton/api/getUser?name=heron&name=wagtail&checksum={sum}")),
        ("no name", format!("/bigbluebutton/api/getUser?checksum={sum}")),
    ] {
        let reply = stage.client().get(&host("wagtail"), &path).await;
        assert_eq!(told(&reply), ("FAILED", "checksumError", "Checksums do not match"), "{what}: {}", reply.body);
        answers.push((reply.status, reply.body));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(ask(&stage, "heron").await.xml("secret"), "heron-new");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_it_is_not_for_finds_no_such_call() {
    let unknown = ("FAILED", "validationError", "Request not recognized");
    let good = question("wagtail", OF_THE_CALL);
    let listed = stage("127.0.0.1").await;
    assert_eq!(told(&listed.client().get(&host("heron"), &good).await), unknown, "another tenant's host");
    let request = Request::builder().method(Method::POST).uri(&good);
    assert_eq!(told(&listed.client().send(&host("wagtail"), request).await), unknown, "another method");
    let elsewhere = stage("192.0.2.0/24").await;
    assert_eq!(told(&elsewhere.client().get(&host("wagtail"), &good).await), unknown, "another source");
    // Taken out of the configuration, it is gone.
    let path = listed.path("anteroom.toml");
    let text = fs::read_to_string(&path).unwrap();
    write(listed.dir.path(), "anteroom.toml", text.split("[get_user]").next().unwrap());
    eventually("it is not answered any more", async || told(&ask(&listed, "wagtail").await) == unknown).await;
    tokio::time::timeout(Duration::from_secs(10), listed.create("wagtail", "room")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_stopped_and_no_secret_is_in_the_log() {
    let more = format!("{}[rates]\nwrong_checksums = 5", keys("127.0.0.1"));
    let plan = Plan::new().server_like("members", &more).tenant("wagtail", "free");
    let plan = plan.tenant_with("heron", "free", "---greenlight = \"heron-greenlight\"");
    let gateway = Served::start(plan.file("secrets/get-user", OF_THE_CALL)).await;
    let (client, host) = (&gateway.client, host("wagtail"));
    let (good, wrong) = (question("heron", OF_THE_CALL), question("heron", "a-guess"));
    assert_eq!(client.get(&host, &good).await.xml("secret"), "heron-greenlight");
    let guesses = join_all((0..100).map(|_| client.get(&host, &wrong))).await;
    assert!(guesses.iter().any(|reply| reply.xml("messageKey") == "rateLimited"));
    assert!(guesses.iter().all(|reply| reply.xml("returncode") == "FAILED"));
    assert_eq!(client.get(&host, &good).await.xml("secret"), "heron-greenlight", "a good call is answered");
    let mut log = String::new();
    eventually("both are in the log", async || {
        log = fs::read_to_string(gateway.dir.path().join("log.jsonl")).unwrap_or_default();
        log.contains("getUser answered") && log.contains("getUser refused")
    })
    .await;
    let sums = [&good, &wrong].map(|path| path.rsplit('=').next().unwrap());
    for secret in ["heron-greenlight", OF_THE_CALL, sums[0], sums[1]] {
        assert!(!log.contains(secret), "{secret}");
    }
}
