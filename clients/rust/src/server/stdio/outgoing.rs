//! Our requests to the gateway: a window, a bounded wait for each, and repetition when the gateway is overloaded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::super::execution::locked;
use crate::error::{Error, Reason, Result};
use crate::view::{ItemResult, item_from_wire};

/// Requests that may be open at once, open-ended waits not counted; a gateway refuses more.
const WINDOW: usize = 1_024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request is repeated while the gateway says that it is overloaded.
const MAX_OVERLOAD: Duration = Duration::from_secs(60);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_millis(100);
/// A reader of events that is this far behind makes its watch pause.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// One `runs/event`.
pub(crate) struct RunEvent {
    pub cursor: u64,
    pub results: Result<Vec<ItemResult>>,
    pub bytes: usize,
}

/// The events of one watch on their way to its reader.
pub(crate) struct EventFeed {
    shared: Arc<FeedState>,
    sender: mpsc::UnboundedSender<RunEvent>,
    events: Option<mpsc::UnboundedReceiver<RunEvent>>,
}

#[derive(Default)]
struct FeedState {
    held_bytes: AtomicUsize,
    paused: AtomicBool,
}

impl Default for EventFeed {
    fn default() -> EventFeed {
        let (sender, events) = mpsc::unbounded_channel();
        EventFeed { shared: Arc::default(), sender, events: Some(events) }
    }
}

impl EventFeed {
    /// To be taken once.
    pub fn take_events(&mut self) -> mpsc::UnboundedReceiver<RunEvent> {
        self.events.take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    pub fn taken(&self, bytes: usize) {
        self.shared.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn is_paused(&self) -> bool {
        self.shared.paused.load(Ordering::Acquire)
    }
}

struct Watching {
    shared: Arc<FeedState>,
    sender: mpsc::UnboundedSender<RunEvent>,
}

type Answer = Result<Bytes>;

pub(crate) struct Outgoing {
    send: Box<dyn Fn(&str) + Send + Sync>,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    watches: Mutex<HashMap<u64, Watching>>,
    window: Semaphore,
    closed: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Events<'a> {
    watch_id: u64,
    #[serde(default)]
    cursor: u64,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Outgoing {
    pub fn new(send: impl Fn(&str) + Send + Sync + 'static) -> Outgoing {
        Outgoing {
            send: Box::new(send),
            next_id: AtomicU64::new(1),
            open: Mutex::default(),
            watches: Mutex::default(),
            window: Semaphore::new(WINDOW),
            closed: AtomicBool::new(false),
        }
    }

    /// Ask the gateway; the result as JSON.
    pub async fn request(&self, method: &str, params: &str) -> Result<Bytes> {
        let give_up = Instant::now() + MAX_OVERLOAD;
        loop {
            let answer = {
                let _place = self.window.acquire().await.map_err(|_| gone())?;
                self.exchange(method, params, Some(REQUEST_TIMEOUT), None).await
            };
            match answer {
                Err(error) if error.reason() == Reason::Overloaded => {
                    let pause = error.retry_after().unwrap_or(DEFAULT_RETRY_AFTER);
                    if Instant::now() + pause > give_up {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
    }

    /// As `request`, for a wait on a run, which takes no place in the window.
    pub async fn wait(&self, method: &str, params: &str, timeout: Option<Duration>) -> Result<Bytes> {
        self.exchange(method, params, timeout, None).await
    }

    /// As `wait`; events go to `feed` meanwhile.
    pub async fn watch(&self, method: &str, params: &str, feed: &EventFeed) -> Result<Bytes> {
        let watching = Watching { shared: feed.shared.clone(), sender: feed.sender.clone() };
        self.exchange(method, params, None, Some(watching)).await
    }

    async fn exchange(&self, method: &str, params: &str, timeout: Option<Duration>, watching: Option<Watching>) -> Result<Bytes> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        locked(&self.open).insert(id, answer);
        if let Some(watching) = watching {
            locked(&self.watches).insert(id, watching);
        }
        let _open = Open { outgoing: self, id };
        if self.closed.load(Ordering::Acquire) {
            return Err(gone());
        }
        (self.send)(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#));
        let answer = match timeout {
            None => answered.await,
            Some(bound) => tokio::time::timeout(bound, answered).await.map_err(|_| {
                Error::new(Reason::Timeout, format!("the gateway did not answer {method} within {} s", bound.as_secs_f64()))
            })?,
        };
        answer.unwrap_or_else(|_| Err(gone()))
    }

    /// An answer of the gateway.
    pub fn take_answer(&self, id: u64, answer: std::result::Result<&RawValue, &RawValue>) {
        let Some(waiting) = locked(&self.open).remove(&id) else { return };
        let _ = waiting.send(match answer {
            Ok(result) => Ok(Bytes::from(result.get().to_owned())),
            Err(error) => Err(error_of(error.get())),
        });
    }

    /// A `runs/event`; one of a watch that is no more is dropped.
    pub fn take_event(&self, params: &str) {
        let Ok(events) = serde_json::from_str::<Events<'_>>(params) else {
            eprintln!("flowspan: ignored a runs/event that cannot be read");
            return;
        };
        let mut watches = locked(&self.watches);
        let Some(watching) = watches.get(&events.watch_id) else { return };
        let read = |item: &&RawValue| {
            let item = serde_json::from_str(item.get()).map_err(|error| Error::unreadable("a result", error))?;
            item_from_wire(item)
        };
        let results = events.items.iter().map(read).collect();
        let bytes = params.len();
        let held = watching.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let _ = watching.sender.send(RunEvent { cursor: events.cursor, results, bytes });
        if held > MAX_HELD_BYTES {
            // What follows would lie behind a gap, so nothing more is taken: the watch begins again behind its cursor.
            watching.shared.paused.store(true, Ordering::Release);
            watches.remove(&events.watch_id);
            drop(watches);
            self.cancel(events.watch_id);
        }
    }

    /// The connection is gone: every open request fails.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.window.close();
        locked(&self.open).clear();
        locked(&self.watches).clear();
    }

    fn cancel(&self, id: u64) {
        if !self.closed.load(Ordering::Acquire) {
            (self.send)(&format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#));
        }
    }
}

/// Tells the gateway where an answer is not waited for any more.
struct Open<'a> {
    outgoing: &'a Outgoing,
    id: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        locked(&self.outgoing.watches).remove(&self.id);
        if locked(&self.outgoing.open).remove(&self.id).is_some() {
            self.outgoing.cancel(self.id);
        }
    }
}

fn gone() -> Error {
    Error::new(Reason::Unavailable, "the connection to the gateway is closed")
}

/// The error that a caller gets. The reason is the gateway's `data.reason` where it fits the code.
fn error_of(text: &str) -> Error {
    let error: ErrorObject = match serde_json::from_str(text) {
        Ok(error) => error,
        Err(error) => return Error::unreadable("the gateway's error", error),
    };
    let mut details = match error.data {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        other => Map::from_iter([("data".to_owned(), other)]),
    };
    let named = details.remove("reason").and_then(|name| Reason::from_name(name.as_str()?));
    details.remove("domain");
    let named = named.filter(|reason| i64::from(reason.jsonrpc_code()) == error.code);
    let reason = named.or(Reason::of_jsonrpc_code(error.code)).unwrap_or(Reason::ComponentFailed);
    Error::new(reason, error.message).peer(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> (Arc<Outgoing>, mpsc::UnboundedReceiver<Value>) {
        let (lines, sent) = mpsc::unbounded_channel();
        (Arc::new(Outgoing::new(move |line| lines.send(serde_json::from_str(line).unwrap()).unwrap())), sent)
    }

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn answers_find_their_requests() {
        let (outgoing, mut sent) = outgoing();
        let asked = tokio::spawn({
            let outgoing = outgoing.clone();
            async move { outgoing.request("runs/get", r#"{"runId":"r"}"#).await }
        });
        let line = sent.recv().await.unwrap();
        assert_eq!((&line["method"], &line["params"]["runId"]), (&"runs/get".into(), &"r".into()));
        outgoing.take_answer(line["id"].as_u64().unwrap(), Ok(raw(r#"{"a":1.0}"#)));
        assert_eq!(&asked.await.unwrap().unwrap()[..], br#"{"a":1.0}"#);
    }

    #[tokio::test]
    async fn an_overloaded_gateway_is_asked_again_and_errors_keep_their_reason() {
        let (outgoing, mut sent) = outgoing();
        let asked = tokio::spawn({
            let outgoing = outgoing.clone();
            async move { outgoing.request("runs/get", "{}").await }
        });
        let first = sent.recv().await.unwrap()["id"].as_u64().unwrap();
        outgoing.take_answer(first, Err(raw(r#"{"code":-32014,"message":"busy","data":{"retryAfterMs":1}}"#)));
        let second = sent.recv().await.unwrap()["id"].as_u64().unwrap();
        assert_ne!(first, second);
        outgoing.take_answer(second, Err(raw(r#"{"code":-32012,"message":"no run","data":{"reason":"RUN_NOT_FOUND"}}"#)));
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!((error.reason(), error.from_peer()), (Reason::RunNotFound, true));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_cancelled_and_a_closed_connection_fails_all() {
        let (outgoing, mut sent) = outgoing();
        let asked = tokio::spawn({
            let outgoing = outgoing.clone();
            async move { outgoing.wait("runs/get", "{}", None).await }
        });
        let id = sent.recv().await.unwrap()["id"].clone();
        asked.abort();
        assert_eq!(
            sent.recv().await.unwrap(),
            serde_json::json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}})
        );
        outgoing.close();
        assert_eq!(outgoing.request("runs/get", "{}").await.unwrap_err().reason(), Reason::Unavailable);
    }

    #[tokio::test]
    async fn a_reader_that_lags_pauses_its_watch() {
        let (outgoing, mut sent) = outgoing();
        let mut feed = EventFeed::default();
        let mut events = feed.take_events();
        let watched = tokio::spawn({
            let outgoing = outgoing.clone();
            async move {
                let answer = outgoing.watch("runs/watch", "{}", &feed).await;
                (answer, feed.is_paused())
            }
        });
        let id = sent.recv().await.unwrap()["id"].as_u64().unwrap();
        let item = format!(r#"{{"itemIndex":0,"result":{{"outcome":"success","value":"{}"}}}}"#, "x".repeat(9_000_000));
        for cursor in 1..4 {
            outgoing.take_event(&format!(r#"{{"watchId":{id},"cursor":{cursor},"items":[{item}]}}"#));
        }
        assert_eq!(sent.recv().await.unwrap()["method"], "$/cancelRequest");
        outgoing.take_answer(id, Err(raw(r#"{"code":-32800,"message":"cancelled"}"#)));
        let (answer, paused) = watched.await.unwrap();
        assert_eq!((answer.unwrap_err().reason(), paused), (Reason::RequestCancelled, true));
        assert_eq!((events.recv().await.unwrap().cursor, events.recv().await.unwrap().cursor), (1, 2));
        assert!(events.recv().await.is_none());
    }
}
