//! Runs and blobs in the name of one execution, over the wire that it came by.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::execution::Waiting;
use super::stdio::outgoing::{EventFeed, Outgoing};
use crate::client::{Blob, BlobType, Client, SubmitOptions, Watch, WatchOptions};
use crate::error::{Error, Reason, Result};
use crate::json::{self, RawJson};
use crate::v1;
use crate::view::{ItemResult, ResultOrder, RunStatus, in_order, status_from_wire};

/// A wait that the gateway bounds is given up here only so much later.
const WAIT_MARGIN: Duration = Duration::from_secs(30);

type Members = Vec<(&'static str, RawJson)>;

/// Calls of the gateway in the name of one execution.
pub(crate) enum Runs {
    /// As messages on the pipes. The members are what every request carries.
    Pipes(Arc<Outgoing>, Members),
    /// As calls of a client, with the task token.
    Client(Client, Option<String>),
}

#[derive(Deserialize)]
struct BlobId {
    blob_id: String,
}

#[derive(Deserialize)]
struct PipedBlob {
    data: RawJson,
    #[serde(default)]
    blob_type: String,
}

fn text_of(value: v1::JsonValue) -> Result<RawJson> {
    match value.kind {
        Some(v1::json_value::Kind::Json(json)) => String::from_utf8_lossy(&json).parse(),
        _ => Err(Error::invalid("inputs", "over stdio an input is a value; read the blob and give what it holds")),
    }
}

fn params_of(members: &[(&'static str, RawJson)], own: &[(&'static str, RawJson)]) -> String {
    let pairs: Vec<String> = members.iter().chain(own).map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn raw(value: impl serde::Serialize) -> Result<RawJson> {
    RawJson::of(&value)
}

impl Runs {
    pub async fn put_blob(&self, data: Bytes, blob_type: BlobType) -> Result<String> {
        match self {
            Runs::Client(client, _) => client.put_blob_bytes(data, blob_type).await,
            Runs::Pipes(outgoing, own) => {
                let value = match blob_type {
                    BlobType::Binary => raw(BASE64.encode(&data))?,
                    _ => std::str::from_utf8(&data).map_err(|error| Error::invalid("data", error.to_string()))?.parse()?,
                };
                let members = [("data", value), ("blob_type", raw(blob_type.as_str())?)];
                let answer = outgoing.request("blobs/put", &params_of(&members, own)).await?;
                Ok(json::decode::<BlobId>(&answer, "the answer to blobs/put")?.blob_id)
            }
        }
    }

    pub async fn get_blob(&self, blob_id: &str) -> Result<Blob> {
        match self {
            Runs::Client(client, _) => client.get_blob_bytes(blob_id).await,
            Runs::Pipes(outgoing, own) => {
                let answer = outgoing.request("blobs/get", &params_of(&[("blob_id", raw(blob_id)?)], own)).await?;
                let blob: PipedBlob = json::decode(&answer, "the answer to blobs/get")?;
                let blob_type = BlobType::from_word(&blob.blob_type);
                let data = match blob_type {
                    BlobType::Binary => {
                        let text: String = blob.data.decode()?;
                        BASE64.decode(text).map_err(|error| Error::unreadable("the blob", error))?.into()
                    }
                    _ => Bytes::from(blob.data.get().to_owned()),
                };
                Ok(Blob { blob_type, data })
            }
        }
    }

    pub async fn submit(&self, flow_id: &str, inputs: Vec<v1::JsonValue>, options: SubmitOptions) -> Result<RunStatus> {
        match self {
            Runs::Client(client, token) => client.submit_values(flow_id, inputs, with_token(options, token)).await,
            Runs::Pipes(outgoing, own) => {
                let members = submit_members(flow_id, inputs, &options)?;
                status_from_wire(&outgoing.request("runs/submit", &params_of(&members, own)).await?)
            }
        }
    }

    pub async fn run(&self, flow_id: &str, inputs: Vec<v1::JsonValue>, options: SubmitOptions) -> Result<RunStatus> {
        match self {
            Runs::Client(client, token) => {
                client.run_values(flow_id, inputs, with_token(options, token), watch_options(token)).await
            }
            Runs::Pipes(outgoing, own) => {
                let mut members = submit_members(flow_id, inputs, &options)?;
                members.push(("wait", raw(true)?));
                let answer = outgoing.wait("runs/submit", &params_of(&members, own), None).await?;
                self.with_all_results(status_from_wire(&answer)?, ResultOrder::ByIndex).await
            }
        }
    }

    /// `order`: of the results, where they are wanted.
    pub async fn get(&self, run_id: &str, order: Option<ResultOrder>) -> Result<RunStatus> {
        match (self, order) {
            (Runs::Client(client, _), None) => client.get_run(run_id).await,
            (Runs::Client(client, _), Some(order)) => client.get_run_with_results(run_id, order).await,
            (Runs::Pipes(outgoing, own), _) => {
                let mut members = vec![("runId", raw(run_id)?), ("includeResults", raw(order.is_some())?)];
                let order = order.unwrap_or(ResultOrder::ByIndex);
                members.push(("resultOrder", raw(order.as_str())?));
                let answer = outgoing.request("runs/get", &params_of(&members, own)).await?;
                self.with_all_results(status_from_wire(&answer)?, order).await
            }
        }
    }

    pub async fn wait(&self, run_id: &str, timeout: Option<Duration>) -> Result<RunStatus> {
        match self {
            Runs::Client(client, token) => {
                client.wait_with(run_id, timeout, watch_options(token)).await?;
                client.get_run_with_results(run_id, ResultOrder::ByIndex).await
            }
            Runs::Pipes(outgoing, own) => {
                let mut members = vec![("runId", raw(run_id)?), ("wait", raw(true)?)];
                if let Some(timeout) = timeout {
                    members.push(("timeoutSecs", raw(timeout.as_secs_f64())?));
                }
                let bound = timeout.map(|timeout| timeout + WAIT_MARGIN);
                let answer = outgoing.wait("runs/get", &params_of(&members, own), bound).await?;
                self.with_all_results(status_from_wire(&answer)?, ResultOrder::ByIndex).await
            }
        }
    }

    pub async fn cancel(&self, run_id: &str, reason: &str) -> Result<()> {
        match self {
            Runs::Client(client, _) => client.cancel_run(run_id, reason).await.map(|_| ()),
            Runs::Pipes(outgoing, own) => {
                let members = [("runId", raw(run_id)?), ("reason", raw(reason)?)];
                outgoing.request("runs/cancel", &params_of(&members, own)).await.map(|_| ())
            }
        }
    }

    pub fn watch(self, run_id: &str, after_seq: u64, waiting: Waiting) -> Result<RunWatch> {
        let source = match self {
            Runs::Client(client, token) => Source::Client(client.watch(run_id, watch_options(&token).after_seq(after_seq))?),
            Runs::Pipes(outgoing, own) => {
                let (updates, received) = mpsc::channel(1);
                let task = tokio::spawn(follow(outgoing, own, run_id.to_owned(), after_seq, updates)).abort_handle();
                Source::Pipes(Piped {
                    updates: received,
                    ready: VecDeque::new(),
                    next_cursor: after_seq,
                    cursor: after_seq,
                    status: None,
                    task,
                })
            }
        };
        Ok(RunWatch { run_id: run_id.to_owned(), source, _waiting: waiting })
    }

    /// Follow `resultsOmitted`: the results are read in pages, by index.
    async fn with_all_results(&self, mut status: RunStatus, order: ResultOrder) -> Result<RunStatus> {
        let (Runs::Pipes(outgoing, own), Some(omitted)) = (self, status.results_omitted.take()) else { return Ok(status) };
        let mut results = Vec::new();
        // Pages are by index, so a partial answer in another order is read anew from the beginning.
        let mut after = -1;
        if order == ResultOrder::ByIndex && status.results.is_some() {
            results = status.results.take().unwrap_or_default();
            after = next_of(omitted.next)? - 1;
        }
        let mut left = omitted.count.max(1);
        loop {
            let members = [
                ("runId", raw(&status.run_id)?),
                ("includeResults", raw(true)?),
                ("resultOrder", raw(ResultOrder::ByIndex.as_str())?),
                ("afterItemIndex", raw(after)?),
                ("limit", raw(left)?),
            ];
            let mut page = status_from_wire(&outgoing.request("runs/get", &params_of(&members, own)).await?)?;
            results.append(&mut page.results.take().unwrap_or_default());
            let Some(omitted) = page.results_omitted else { break };
            let next = next_of(omitted.next)? - 1;
            if next <= after {
                return Err(Error::new(Reason::ParseError, "the gateway's pages of results do not advance"));
            }
            after = next;
            left = omitted.count.max(1);
        }
        status.results = Some(in_order(results, order));
        Ok(status)
    }
}

fn next_of(index: u64) -> Result<i64> {
    i64::try_from(index).map_err(|error| Error::unreadable("resultsOmitted", error))
}

fn with_token(options: SubmitOptions, token: &Option<String>) -> SubmitOptions {
    match token {
        Some(token) => options.task_token(token),
        None => options,
    }
}

fn watch_options(token: &Option<String>) -> WatchOptions {
    match token {
        Some(token) => WatchOptions::new().task_token(token),
        None => WatchOptions::new(),
    }
}

fn submit_members(flow_id: &str, inputs: Vec<v1::JsonValue>, options: &SubmitOptions) -> Result<Members> {
    let inputs = inputs.into_iter().map(text_of).collect::<Result<Vec<_>>>()?;
    let mut members = options.members()?;
    members.push(("flowId", raw(flow_id)?));
    members.push(("inputs", raw(inputs)?));
    Ok(members)
}

struct Update {
    results: Vec<ItemResult>,
    cursor: u64,
    status: Option<RunStatus>,
}

/// Follow a run over the pipes. What the reader does not take in time makes the watch pause: it is cancelled and opened again
/// behind its cursor.
async fn follow(outgoing: Arc<Outgoing>, own: Members, run_id: String, after_seq: u64, updates: mpsc::Sender<Result<Update>>) {
    let mut cursor = after_seq;
    loop {
        let outcome = follow_once(&outgoing, &own, &run_id, &mut cursor, &updates).await;
        let last = match outcome {
            Ok(Some(status)) => Ok(Update { results: Vec::new(), cursor, status: Some(status) }),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        let _ = updates.send(last).await;
        return;
    }
}

/// The final status; None where the watch was paused.
async fn follow_once(
    outgoing: &Arc<Outgoing>,
    own: &Members,
    run_id: &str,
    cursor: &mut u64,
    updates: &mpsc::Sender<Result<Update>>,
) -> Result<Option<RunStatus>> {
    let members = [("runId", raw(run_id)?), ("afterSeq", raw(*cursor)?)];
    let mut feed = EventFeed::default();
    let mut events = feed.take_events();
    let params = params_of(&members, own);
    let mut answer = std::pin::pin!(outgoing.watch("runs/watch", &params, &feed));
    let ended = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => hand_on(event, &feed, cursor, updates).await?,
            answer = &mut answer => break answer,
        }
    };
    // What came ahead of the answer.
    while let Ok(event) = events.try_recv() {
        hand_on(event, &feed, cursor, updates).await?;
    }
    match ended {
        Ok(answer) => status_from_wire(&answer).map(Some),
        Err(error) if error.reason() == Reason::RequestCancelled && feed.is_paused() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn hand_on(
    event: super::stdio::outgoing::RunEvent,
    feed: &EventFeed,
    cursor: &mut u64,
    updates: &mpsc::Sender<Result<Update>>,
) -> Result<()> {
    *cursor = event.cursor.max(*cursor);
    let bytes = event.bytes;
    let _ = updates.send(Ok(Update { results: event.results?, cursor: *cursor, status: None })).await;
    feed.taken(bytes);
    Ok(())
}

struct Piped {
    updates: mpsc::Receiver<Result<Update>>,
    ready: VecDeque<ItemResult>,
    next_cursor: u64,
    cursor: u64,
    status: Option<RunStatus>,
    task: AbortHandle,
}

impl Drop for Piped {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Source {
    Pipes(Piped),
    Client(Watch),
}

/// Item results of a run as they complete, each once: a stream that ends with the run. While it is open, the execution that
/// watches takes no slot and no time.
pub struct RunWatch {
    run_id: String,
    source: Source,
    _waiting: Waiting,
}

impl RunWatch {
    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Give this as `after_seq` to another watch: it hands out everything that this one has not.
    pub fn cursor(&self) -> u64 {
        match &self.source {
            Source::Pipes(piped) => piped.cursor,
            Source::Client(watch) => watch.cursor(),
        }
    }

    /// The run's status, at the latest when the watch has ended.
    pub fn status(&self) -> Option<&RunStatus> {
        match &self.source {
            Source::Pipes(piped) => piped.status.as_ref(),
            Source::Client(watch) => watch.status(),
        }
    }

    /// The next result; None when the run has ended.
    pub async fn next(&mut self) -> Option<Result<ItemResult>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for RunWatch {
    type Item = Result<ItemResult>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Result<ItemResult>>> {
        let piped = match &mut self.source {
            Source::Client(watch) => return Pin::new(watch).poll_next(context),
            Source::Pipes(piped) => piped,
        };
        loop {
            if let Some(result) = piped.ready.pop_front() {
                if piped.ready.is_empty() {
                    // Events of one message share a cursor: it holds once all of them were handed out.
                    piped.cursor = piped.next_cursor;
                }
                return Poll::Ready(Some(Ok(result)));
            }
            match ready!(piped.updates.poll_recv(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(update)) => {
                    piped.ready = update.results.into();
                    piped.next_cursor = update.cursor;
                    piped.status = update.status.or(piped.status.take());
                    if piped.ready.is_empty() {
                        piped.cursor = piped.next_cursor;
                    }
                }
            }
        }
    }
}
