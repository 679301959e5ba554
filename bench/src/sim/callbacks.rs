//! What the server tells of its meetings, at the addresses that their `create` named: the end of a meeting (`bbb-web`), a
//! published recording (`post_publish_recording_ready_callback.rb`), and analytics (`post_events_analytics_callback.rb`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::meeting::{Meeting, Pace};
use super::outgoing::{Outgoing, Request};
use super::recording::Recording;
use crate::clock;
use crate::sign::{Jwt, encode, jwt};

/// After a call for an end that was not answered with 2xx.
const ENDED_PAUSES: [u64; 4] = [30, 60, 120, 300];
/// How long an answer may take: the default of Ruby.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The metadata that have the address for recordings, in the order in which they are looked for.
const RECORDING_READY: [&str; 3] = ["bbb-recording-ready-url", "bn-recording-ready-url", "canvas-recording-ready-url"];

/// A callback, with the answers that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCallback {
    /// Its address, with a query where it has one.
    pub url: String,
    /// The status of each try; `None` where there was no answer.
    pub answers: Vec<Option<u16>>,
}

/// What is to be said.
pub(crate) enum Callback {
    /// A meeting has ended: GET.
    Ended { url: String },
    /// A recording is published: a form.
    RecordingReady { url: String, ext_id: String, record_id: String },
    /// JSON.
    Analytics { url: String, body: String },
}

impl Callback {
    /// Those at the end of a meeting. A breakout room has none of its own.
    pub(crate) fn of_end(meeting: &Meeting) -> Vec<Self> {
        if meeting.is_breakout {
            return Vec::new();
        }
        let marks = if meeting.is_recorded { "true" } else { "false" };
        let query = encode(&[("recordingmarks", marks), ("meetingID", &meeting.ext_id)]);
        let of_meta = meeting.metadata.get("endcallbackurl").map(String::as_str);
        let urls = [meeting.params.text("meetingEndedURL"), of_meta].into_iter().flatten();
        let ended = urls.map(|url| {
            let joint = if url.contains('?') { '&' } else { '?' };
            Self::Ended { url: format!("{url}{joint}{query}") }
        });
        let keeps_events = meeting.params.is_true("meetingKeepEvents");
        let analytics = meeting.metadata.get("analytics-callback-url").filter(|_| keeps_events);
        ended
            .chain(analytics.map(|url| Self::Analytics { url: url.clone(), body: analytics_of(meeting, url) }))
            .collect()
    }

    /// The one of a recording that is published, or has been made once more.
    pub(crate) fn of_recording(recording: &Recording) -> Option<Self> {
        let url = RECORDING_READY.iter().find_map(|key| recording.metadata.get(*key))?.clone();
        let ext_id = recording.metadata.get("meetingId")?.clone();
        Some(Self::RecordingReady { url, ext_id, record_id: recording.id.clone() })
    }

    fn url(&self) -> &str {
        match self {
            Self::Ended { url } | Self::RecordingReady { url, .. } | Self::Analytics { url, .. } => url,
        }
    }

    fn request(&self, secret: &str) -> Request {
        let body = |kind, more: &str, body: &str| Request::post(self.url(), kind, more, body);
        match self {
            Self::Ended { .. } => Request::get(self.url()),
            Self::RecordingReady { ext_id, record_id, .. } => {
                let token = jwt(Jwt::Hs256, &json!({ "meeting_id": ext_id, "record_id": record_id }), secret);
                body("application/x-www-form-urlencoded", "", &format!("signed_parameters={token}"))
            }
            Self::Analytics { body: json, .. } => {
                let exp = clock::since_epoch().as_secs() + 24 * 3600;
                let token = jwt(Jwt::Hs512, &json!({ "exp": exp }), secret);
                let more = format!("user-agent: BigBlueButton Analytics Callback\r\nauthorization: Bearer {token}\r\n");
                body("application/json", &more, json)
            }
        }
    }
}

fn analytics_of(meeting: &Meeting, url: &str) -> String {
    let metadata = json!({ "analytics_callback_url": url, "is_breakout": "false", "meeting_name": meeting.name });
    json!({
        "version": "1.0",
        "meeting_id": meeting.ext_id,
        "internal_meeting_id": meeting.int_id,
        "data": { "metadata": metadata, "attendees": [], "files": [], "polls": [] },
    })
    .to_string()
}

/// The calls that were made.
pub(crate) struct Callbacks {
    outgoing: Arc<Outgoing>,
    sent: Mutex<Vec<SentCallback>>,
}

impl Callbacks {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, sent: Mutex::default() }
    }

    pub(crate) fn sent(&self) -> Vec<SentCallback> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, at: Option<usize>, url: &str, answer: Option<u16>) -> usize {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = at.unwrap_or_else(|| {
            sent.push(SentCallback { url: url.to_owned(), answers: Vec::new() });
            sent.len() - 1
        });
        sent[at].answers.push(answer);
        at
    }
}

/// The way to a server's callbacks.
pub(crate) type Outbox = UnboundedSender<Callback>;

/// Makes the calls, for as long as there is somebody who has one to make.
pub(crate) async fn run(
    mut outbox: UnboundedReceiver<Callback>,
    callbacks: Arc<Callbacks>,
    secret: String,
    pace: Pace,
) {
    while let Some(callback) = outbox.recv().await {
        tokio::spawn(make(callback, Arc::clone(&callbacks), secret.clone(), pace));
    }
}

async fn make(callback: Callback, callbacks: Arc<Callbacks>, secret: String, pace: Pace) {
    let pauses: &[u64] = if matches!(callback, Callback::Ended { .. }) { &ENDED_PAUSES } else { &[] };
    let mut at = None;
    for pause in [0].iter().chain(pauses) {
        tokio::time::sleep(pace.scale(Duration::from_secs(*pause))).await;
        let answer = callbacks.outgoing.answer(&callback.request(&secret), TIMEOUT).await;
        at = Some(callbacks.note(at, callback.url(), answer));
        if answer.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
    }
}
