//! Requests through the pool to a server of a few lines, on real sockets.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use rustls::RootCertStore;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Body, Connector, Once, Pool, whole};
use crate::{domain::backend_error::BackendError, net::socket::tune};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that reads a request's head and sends one answer for it after the other, then closes. Where it is, and how many
/// connections it has had.
async fn server(answers: &'static [&'static str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let (address, connections) = (listener.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            tokio::spawn(serve(stream, answers));
        }
    });
    (address, connections)
}

async fn serve(mut stream: TcpStream, answers: &'static [&'static str]) {
    for answer in answers {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => return,
            }
        }
        // In pieces, as a network may.
        for piece in answer.split_inclusive('|') {
            stream.write_all(piece.trim_end_matches('|').as_bytes()).await.expect("written");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn pool() -> Pool {
    Pool::new(Connector::new(RootCertStore::empty()))
}

fn request(method: Method, to: SocketAddr, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(format!("http://{to}/x")).body(body.into()).expect("legal")
}

async fn get(pool: &Pool, to: SocketAddr) -> Result<Response<Body>, BackendError> {
    let answered = pool.send(request(Method::GET, to, Bytes::new()));
    timeout(Duration::from_secs(10), answered).await.expect("in time")
}

async fn text(response: Response<Body>) -> Option<String> {
    let body = timeout(Duration::from_secs(10), whole(response.into_body(), 1 << 20)).await.expect("in time")?;
    String::from_utf8(body.to_vec()).ok()
}

#[tokio::test]
async fn a_connection_is_used_again_as_long_as_the_server_lets_it() {
    const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    for (what, answers, connections) in [
        ("lengths", &[OK, OK, OK] as &[_], 1),
        (
            "a length of nothing",
            &["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", OK],
            1,
        ),
        ("chunks", &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n|0\r\n|\r\n", OK, OK], 1),
        (
            "interim answers",
            &[
                "HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\n|content-length: 2\r\n\r\no|k",
                OK,
                OK,
            ],
            1,
        ),
        ("it says that it closes", &[CLOSE, OK], 3),
        ("it closes without having said so", &[OK], 3),
        ("more than was asked for", &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok HTTP/1.1 200 OK\r\n", OK], 3),
        ("no end but the connection's", &["HTTP/1.1 200 OK\r\n\r\no|k"], 3),
    ] {
        let (to, count) = server(answers).await;
        let pool = pool();
        for n in 0..3 {
            let response = get(&pool, to).await.unwrap_or_else(|error| panic!("{what}, {n}: {error:?}"));
            assert!(response.status().is_success(), "{what}, {n}");
            text(response).await.unwrap_or_else(|| panic!("{what}, {n}: no body"));
            // So that what the server does after its answer has been noticed.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(count.load(SeqCst), connections, "{what}");
    }
}

/// A server that answers the first request on each connection and closes when the next one has come, without an answer or in the
/// middle of one.
async fn closing(at_the_end: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    server(Box::leak(Box::new([OK, at_the_end]))).await
}

#[tokio::test]
async fn a_question_is_asked_again_where_a_kept_connection_has_closed() {
    let once = |mut request: Request<Body>| {
        request.extensions_mut().insert(Once);
        request
    };
    for (what, at_the_end, method, body, is_once, is_answered) in [
        ("a GET", "", Method::GET, "", false, true),
        ("a HEAD", "", Method::HEAD, "", false, true),
        ("a GET that makes something", "", Method::GET, "", true, false),
        ("a POST", "", Method::POST, "", false, false),
        ("a GET with a body", "", Method::GET, "body", false, false),
        ("half an answer", "HTTP/1.1 200 OK\r\ncontent-", Method::GET, "", false, false),
        ("an interim answer", "HTTP/1.1 103 Early Hints\r\n\r\n", Method::GET, "", false, false),
    ] {
        let (to, count) = closing(at_the_end).await;
        let pool = pool();
        text(get(&pool, to).await.expect("answered")).await.expect("whole");
        let asked = request(method, to, body.to_owned());
        let asked = if is_once { once(asked) } else { asked };
        let answered = timeout(Duration::from_secs(10), pool.send(asked)).await.expect("in time");
        assert_eq!(answered.is_ok(), is_answered, "{what}");
        assert_eq!(count.load(SeqCst), if is_answered { 2 } else { 1 }, "{what}: once more, and no oftener");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    for (what, answer) in [
        ("no HTTP", "220 mail.test ESMTP\r\n\r\n"),
        ("nothing", ""),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-"),
        ("a status without a number", "HTTP/1.1 OK\r\n\r\n"),
    ] {
        let (to, _) = server(Box::leak(Box::new([answer]))).await;
        assert!(matches!(get(&pool(), to).await, Err(BackendError::Broken)), "{what}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("bound");
    assert!(matches!(get(&pool(), nobody).await, Err(BackendError::Connect)));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    ] {
        let (to, _) = server(Box::leak(Box::new([answer]))).await;
        let response = get(&pool(), to).await.expect("a head");
        assert_eq!(text(response).await, None, "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_takes_goes_with_its_connection() {
    let (to, count) = server(&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe|llo", OK]).await;
    let pool = pool();
    drop(get(&pool, to).await.expect("a head"));
    assert_eq!(text(get(&pool, to).await.expect("a head")).await.as_deref(), Some("hello"));
    assert_eq!(count.load(SeqCst), 2);
}

#[tokio::test]
async fn a_body_is_sent_whole_and_an_early_answer_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let to = listener.local_addr().expect("bound");
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    let length = large.len();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut got = Vec::new();
        let head = loop {
            stream.read_buf(&mut got).await.expect("read");
            if let Some(at) = got.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
        };
        while got.len() < head + length {
            stream.read_buf(&mut got).await.expect("read");
        }
        assert!(got[head..].iter().all(|byte| *byte == b'x'));
        stream.write_all(OK.as_bytes()).await.expect("written");
        // The next one is refused as soon as its head is there, and nothing more is read.
        stream.read_buf(&mut got).await.expect("read");
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.expect("written");
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let pool = pool();
    let send = |body: Bytes| pool.send(request(Method::POST, to, body));
    let first = timeout(Duration::from_secs(20), send(large.clone())).await.expect("in time").expect("answered");
    assert_eq!(text(first).await.as_deref(), Some("ok"));
    let second = timeout(Duration::from_secs(4), send(large)).await.expect("in time").expect("answered");
    assert_eq!(second.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(second).await.as_deref(), Some("big"));
    served.abort();
}

#[tokio::test]
async fn a_body_without_a_length_is_sent_in_chunks() {
    // Answered by chunks itself, so that it has no length here either.
    let (from, _) =
        server(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n|6\r\n world\r\n0\r\n\r\n"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let to = listener.local_addr().expect("bound");
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut got = Vec::new();
        while !got.ends_with(b"0\r\n\r\n") {
            stream.read_buf(&mut got).await.expect("read");
        }
        stream.write_all(OK.as_bytes()).await.expect("written");
        String::from_utf8(got).expect("text")
    });
    let pool = pool();
    let body = get(&pool, from).await.expect("answered").into_body();
    let response = pool.send(request(Method::POST, to, body)).await.expect("answered");
    assert_eq!(text(response).await.as_deref(), Some("ok"));
    let got = served.await.expect("served");
    assert!(got.contains("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn the_answer_to_head_has_a_length_and_no_body() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 700\r\n\r\n";
    let (to, count) = server(&[HEAD, HEAD]).await;
    let pool = pool();
    for _ in 0..2 {
        let response = pool.send(request(Method::HEAD, to, Bytes::new())).await.expect("answered");
        assert_eq!(response.headers()["content-length"], "700");
        assert!(response.into_body().frame().await.is_none());
    }
    assert_eq!(count.load(SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_refuses_and_hangs_up_is_heard_and_asked_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let to = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        stream.read_u8().await.expect("read");
        // It does not say that it closes, and leaves unread what comes.
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.expect("written");
        drop(stream);
        let (stream, _) = listener.accept().await.expect("accepted");
        serve(stream, &[OK]).await;
    });
    let pool = pool();
    let sent = pool.send(request(Method::POST, to, Bytes::from(vec![b'x'; 8 << 20])));
    let refused = timeout(Duration::from_secs(10), sent).await.expect("in time").expect("answered");
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(refused).await.as_deref(), Some("big"));
    assert_eq!(text(get(&pool, to).await.expect("answered")).await.as_deref(), Some("ok"));
}

#[tokio::test]
async fn what_is_accepted_has_the_settings_of_its_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    tune(&listener);
    let to = listener.local_addr().expect("bound");
    let (accepted, _near) = tokio::join!(listener.accept(), TcpStream::connect(to));
    let (accepted, _) = accepted.expect("accepted");
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().expect("told") && socket.keepalive().expect("told"));
    assert_eq!(socket.tcp_keepalive_time().expect("told"), Duration::from_secs(60));
}
