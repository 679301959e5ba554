//! Files of BBB's client, from the gateway's memory.

use std::io::Read;

use anteroom_bench::sim::{self, Profile};
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

use crate::support::{Joined, Plan, Stage, eventually, host};

const TENANT: &str = "wagtail";

async fn stage() -> (Stage, Joined) {
    let plan = Plan::new().server("members").tenant(TENANT, "custom").tenant("heron", "multi-account");
    let stage = plan.start().await;
    stage.create(TENANT, "room").await;
    let joined = stage.joined(TENANT, "room", "Ada").await;
    (stage, joined)
}

/// An answer whose body is no text.
struct Answer {
    head: http::response::Parts,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn get(stage: &Stage, tenant: &str, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let stream = stage.client().connect(&host(tenant)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", host(tenant));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) =
        sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap().into_parts();
    Answer { head, body: body.collect().await.unwrap().to_bytes().into() }
}

/// The page of the client and the files that it names, by their paths on the host.
async fn files(stage: &Stage, joined: &Joined) -> Vec<String> {
    let page = format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token);
    let html = stage.client().get_with(&host(TENANT), &page, &[("cookie", &joined.cookies)]).await.body;
    let named = html
        .split(['"', '\''])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".svg"));
    let files = named.map(|name| format!("{}/html5client/{name}", joined.prefix));
    let mut all: Vec<String> = files.chain([format!("{}/html5client/", joined.prefix)]).collect();
    all.sort();
    all.dedup();
    assert!(all.len() >= 5, "{all:?}");
    all
}

/// How often the server was asked for a path, whatever its query.
fn reads(stage: &Stage, path: &str) -> usize {
    stage.sims.iter().flat_map(sim::Sim::log).filter(|seen| seen.path == path).count()
}

fn on_server<'a>(path: &'a str, joined: &Joined) -> &'a str {
    path.strip_prefix(&joined.prefix).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_joins_at_once_costs_one_read_of_each_file() {
    let (stage, joined) = stage().await;
    let files = files(&stage, &joined).await;
    stage.sims[0].clear_log();
    let class = join_all((0..100).map(async |n| stage.joined(TENANT, "room", &format!("Guest {n}")).await)).await;
    let answers = join_all(class.iter().flat_map(|joined| {
        let stage = &stage;
        files.iter().map(move |path| async move {
            let path = format!("{path}?sessionToken={}", joined.token);
            get(stage, TENANT, Method::GET, &path, &[("cookie", &joined.cookies)]).await
        })
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.head.status == 200 && !answer.body.is_empty()));
    for path in &files {
        // The page has been read before.
        let path = on_server(path, &joined);
        assert!(reads(&stage, path) <= 1, "{path}: {} reads", reads(&stage, path));
    }
    let tokens = stage.sims[0]
        .log()
        .iter()
        .filter(|seen| seen.path.starts_with("/html5client"))
        .all(|seen| seen.query.is_none());
    assert!(tokens, "no token goes where it is not needed");
    let metrics = stage.metrics().await;
    let read = format!("anteroom_client_file_reads_total {}\n", files.len());
    assert!(metrics.contains(&read), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_checked_cut_and_packed_as_http_has_it() {
    let (stage, joined) = stage().await;
    let all = files(&stage, &joined).await;
    let find = |part: &str| all.iter().find(|path| path.contains(part)).unwrap().as_str();
    let (vendor, styles) = (find("/vendor."), find("/styles.css"));
    let get = async |method, path: &str, headers: &[(&str, &str)]| get(&stage, TENANT, method, path, headers).await;

    let whole = get(Method::GET, vendor, &[]).await;
    assert_eq!(whole.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!((whole.header("content-type"), whole.header("accept-ranges")), ("application/javascript", "bytes"));
    assert_eq!((whole.header("vary"), whole.header("content-encoding")), ("accept-encoding", ""));
    assert!(whole.header("etag").starts_with('"') && !whole.header("last-modified").is_empty());
    assert_eq!(get(Method::GET, styles, &[]).await.header("cache-control"), "no-cache");

    // Known already, in whichever form.
    let etag = whole.header("etag").to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = get(Method::GET, vendor, &[("if-none-match", &known)]).await;
        assert_eq!(
            (answer.head.status.as_u16(), answer.body.len(), answer.header("etag")),
            (304, 0, &*etag),
            "{known}"
        );
    }
    assert_eq!(get(Method::GET, vendor, &[("if-none-match", "\"other\"")]).await.head.status, 200);

    // In part.
    let part = get(Method::GET, vendor, &[("range", "bytes=100-199"), ("accept-encoding", "br, gzip")]).await;
    assert_eq!((part.head.status.as_u16(), part.header("content-encoding")), (206, ""));
    assert_eq!(part.header("content-range"), format!("bytes 100-199/{}", whole.body.len()));
    assert!(part.body == whole.body[100..200]);
    let beyond = get(Method::GET, vendor, &[("range", "bytes=99999999-")]).await;
    assert_eq!((beyond.head.status.as_u16(), beyond.body.len()), (416, 0));
    let changed = get(Method::GET, vendor, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await;
    assert_eq!((changed.head.status.as_u16(), changed.body.len()), (200, whole.body.len()));
    assert_eq!(get(Method::GET, vendor, &[("range", "bytes=0-9"), ("if-range", &etag)]).await.body.len(), 10);

    // Packed, once that has been done.
    for (accepted, encoding) in [("gzip, deflate, br", "br"), ("gzip", "gzip")] {
        eventually(encoding, async || {
            get(Method::GET, vendor, &[("accept-encoding", accepted)]).await.header("content-encoding") == encoding
        })
        .await;
        let packed = get(Method::GET, vendor, &[("accept-encoding", accepted)]).await;
        let mut plain = Vec::new();
        match encoding {
            "br" => brotli::Decompressor::new(&packed.body[..], 4096).read_to_end(&mut plain).unwrap(),
            _ => flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut plain).unwrap(),
        };
        assert!(plain == whole.body && packed.body.len() < whole.body.len());
        assert_ne!(packed.header("etag"), etag, "another form has another tag");
        let headers = [("accept-encoding", accepted), ("if-none-match", packed.header("etag"))];
        assert_eq!(get(Method::GET, vendor, &headers).await.head.status, 304);
    }

    let head = get(Method::HEAD, vendor, &[]).await;
    assert_eq!((head.head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert_eq!(reads(&stage, on_server(vendor, &joined)), 1, "all of this from memory");
}

/// The client looks there for its languages.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_languages_is_read_as_json() {
    let (stage, joined) = stage().await;
    let path = format!("{}/html5client/locales/", joined.prefix);
    for _ in 0..2 {
        let list = get(&stage, TENANT, Method::GET, &path, &[("accept-encoding", "gzip, br")]).await;
        assert!(list.header("content-type").starts_with("application/json"), "{:?}", list.head.headers);
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        let names: Vec<_> = list.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["de.json", "en.json"]);
    }
    assert_eq!(reads(&stage, "/html5client/locales/"), 1, "from memory");
    let missing = format!("{}/html5client/nowhere/", joined.prefix);
    assert_eq!(get(&stage, TENANT, Method::GET, &missing, &[]).await.head.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_for_those_who_reach_its_server() {
    let (stage, joined) = stage().await;
    let page = format!("{}/html5client/", joined.prefix);
    assert_eq!(get(&stage, TENANT, Method::GET, &page, &[]).await.head.status, 200);
    assert_eq!(get(&stage, "heron", Method::GET, &page, &[]).await.head.status, 404, "no meeting of theirs is there");
    stage.create("heron", "room").await;
    assert_eq!(get(&stage, "heron", Method::GET, &page, &[]).await.head.status, 200);
    assert_eq!(reads(&stage, "/html5client/"), 1, "both have the same");
    let missing = format!("{}/html5client/nowhere.js", joined.prefix);
    for _ in 0..3 {
        assert_eq!(get(&stage, TENANT, Method::GET, &missing, &[]).await.head.status, 404);
    }
    let post = get(&stage, TENANT, Method::POST, &page, &[]).await;
    assert_ne!(post.head.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_release_is_noticed() {
    let (stage, joined) = stage().await;
    let page = format!("{}/html5client/", joined.prefix);
    let read = async || String::from_utf8(get(&stage, TENANT, Method::GET, &page, &[]).await.body).unwrap();
    let before = read().await;
    let old = files(&stage, &joined).await.into_iter().find(|path| path.contains("/bundle.")).unwrap();
    assert_eq!(get(&stage, TENANT, Method::GET, &old, &[]).await.head.status, 200);
    stage.sims[0].release(2);
    eventually("the new page", async || read().await != before).await;
    let new = files(&stage, &joined).await.into_iter().find(|path| path.contains("/bundle.")).unwrap();
    assert_ne!(new, old);
    assert_eq!(get(&stage, TENANT, Method::GET, &new, &[]).await.head.status, 200);
    // Who has the old page open has its files.
    assert_eq!(get(&stage, TENANT, Method::GET, &old, &[]).await.head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_does_not_take_its_files_along() {
    let (mut stage, joined) = stage().await;
    let files = files(&stage, &joined).await;
    for path in &files {
        assert_eq!(get(&stage, TENANT, Method::GET, path, &[]).await.head.status, 200);
    }
    let stopped = stage.sims.remove(0).stop().await;
    for path in &files {
        assert_eq!(get(&stage, TENANT, Method::GET, path, &[]).await.head.status, 200, "{path}");
    }
    // What has not been read is not there, and that is not remembered.
    let locale = format!("{}/html5client/locales/de.json", joined.prefix);
    let away = get(&stage, TENANT, Method::GET, &locale, &[]).await;
    assert!(away.head.status.is_server_error(), "{}", away.head.status);
    stage.sims.push(stopped.start().await.unwrap());
    let back = get(&stage, TENANT, Method::GET, &locale, &[]).await;
    assert_eq!(back.head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_2_7_is_carried() {
    let old = sim::Config { profile: Profile::V2_7, ..sim::Config::default() };
    let plan = Plan::new().server_with_keys("wagtail", old, "version = \"2.7\"");
    let stage = plan.tenant_with(TENANT, "multi-account", "pool = \"wagtail\"").start().await;
    stage.create(TENANT, "room").await;
    for _ in 0..2 {
        assert_eq!(get(&stage, TENANT, Method::GET, "/html5client/styles.css", &[]).await.head.status, 200);
    }
    assert_eq!(reads(&stage, "/html5client/styles.css"), 2);
}
