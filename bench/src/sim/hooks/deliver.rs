//! Calls the hooks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::super::meeting::Pace;
use super::super::outgoing::{Outgoing, Request};
use super::super::world::World;
use super::super::{Config, wall_ms};
use super::Webhooks;
use crate::sign::{Algorithm, encode};

/// After a call that was not taken. After the last one the hook is removed.
const PAUSES_MS: [u64; 12] = [100, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 30_000, 60_000, 60_000, 60_000, 60_000];
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An event for one hook.
pub(crate) struct Post {
    pub(crate) hook: String,
    pub(crate) callback_url: String,
    pub(crate) event: String,
    pub(crate) json: String,
}

/// A call of a hook, with the answers that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentEvent {
    /// The address of the hook, without the checksum.
    pub callback_url: String,
    /// The type of the event.
    pub event: String,
    /// The status of each try; `None` where there was no answer.
    pub answers: Vec<Option<u16>>,
}

/// How calls are made, and those that were made.
pub(crate) struct Deliveries {
    outgoing: Arc<Outgoing>,
    world: Weak<Mutex<World>>,
    service: Webhooks,
    domain: String,
    secret: String,
    algorithm: Algorithm,
    is_bearer: bool,
    pace: Pace,
    sent: Mutex<Vec<SentEvent>>,
}

impl Deliveries {
    pub(crate) fn new(config: &Config, outgoing: Arc<Outgoing>, world: &Arc<Mutex<World>>) -> Self {
        let (_, domain) = config.server_url.split_once("://").unwrap_or(("", &config.server_url));
        Self {
            outgoing,
            world: Arc::downgrade(world),
            service: config.profile.webhooks,
            domain: domain.trim_end_matches('/').to_owned(),
            secret: config.secret.clone(),
            algorithm: config.hook_algorithm,
            is_bearer: config.hook_bearer,
            pace: Pace::new(config.speed),
            sent: Mutex::default(),
        }
    }

    pub(crate) fn sent(&self) -> Vec<SentEvent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls a hook until it takes the event; removes it if it never does. Returns whether it did.
    async fn deliver(&self, post: &Post) -> bool {
        let request = self.request(post, wall_ms());
        let at = {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            let (callback_url, event) = (post.callback_url.clone(), post.event.clone());
            sent.push(SentEvent { callback_url, event, answers: Vec::new() });
            sent.len() - 1
        };
        for pause in [0].iter().chain(&PAUSES_MS) {
            tokio::time::sleep(self.pace.scale(Duration::from_millis(*pause))).await;
            let answer = self.outgoing.answer(&request, TIMEOUT).await;
            self.sent.lock().unwrap_or_else(PoisonError::into_inner)[at].answers.push(answer);
            if answer.is_some_and(|status| (200..300).contains(&status) || status == 401) {
                return true;
            }
        }
        if let Some(world) = self.world.upgrade() {
            world.lock().unwrap_or_else(PoisonError::into_inner).hooks.destroy(&post.hook);
        }
        false
    }

    fn request(&self, post: &Post, timestamp: u64) -> Request {
        let (event, timestamp) = (format!("[{}]", post.json), timestamp.to_string());
        let fields = [("domain", self.domain.as_str()), ("event", &event), ("timestamp", &timestamp)];
        let (body, signed) = if self.service.signs_json {
            let [domain, event, time] = fields;
            // Another library writes its form.
            let body = encode(&[event, time, domain]).replace('+', "%20");
            let text = |text: &str| Value::from(text).to_string();
            let (event, domain) = (text(event.1), text(domain.1));
            (body, format!("{{\"event\":{event},\"timestamp\":{timestamp},\"domain\":{domain}}}"))
        } else {
            let body = encode(&fields);
            (body.clone(), body)
        };
        let post_to = |url: &str, more: &str| Request::post(url, "application/x-www-form-urlencoded", more, &body);
        let url = &post.callback_url;
        if self.is_bearer {
            return post_to(url, &format!("authorization: Bearer {}\r\n", self.secret));
        }
        let checksum = self.algorithm.hex(format!("{url}{signed}{}", self.secret).as_bytes());
        let joint = if url.contains('?') { '&' } else { '?' };
        post_to(&format!("{url}{joint}checksum={checksum}"), "")
    }
}

/// Makes the calls, for as long as there is somebody who has one to make.
pub(crate) async fn run(mut posts: UnboundedReceiver<Post>, deliveries: Arc<Deliveries>) {
    let mut queues: HashMap<String, UnboundedSender<Post>> = HashMap::new();
    while let Some(post) = posts.recv().await {
        let deliveries = Arc::clone(&deliveries);
        if !deliveries.service.keeps_order {
            tokio::spawn(async move { deliveries.deliver(&post).await });
            continue;
        }
        let queue = queues.entry(post.hook.clone()).or_insert_with(|| {
            let (queue, posts) = mpsc::unbounded_channel();
            tokio::spawn(in_order(posts, deliveries));
            queue
        });
        // A hook that was removed is not called any more.
        let _ = queue.send(post);
    }
}

/// Calls one hook, for one event after the other.
async fn in_order(mut posts: UnboundedReceiver<Post>, deliveries: Arc<Deliveries>) {
    while let Some(post) = posts.recv().await {
        if !deliveries.deliver(&post).await {
            return;
        }
    }
}
