//! Following a run: each result once, in order, over any number of lost connections.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tonic::Streaming;

use super::Client;
use super::resuming::Resumption;
use crate::error::{Error, Reason, Result};
use crate::v1;
use crate::view::{ItemResult, ResultOrder, RunFold, RunState, RunStatus};

/// What of a run to follow, and from where.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    after_seq: u64,
    order: Option<ResultOrder>,
    filter: v1::WatchOptions,
}

impl WatchOptions {
    /// All of it, as it completes.
    pub fn new() -> WatchOptions {
        WatchOptions::default()
    }

    /// Behind this cursor.
    pub fn after_seq(mut self, cursor: u64) -> WatchOptions {
        self.after_seq = cursor;
        self
    }

    /// By completion (the order of the log), or by index: a result waits for those before it.
    pub fn order(mut self, order: ResultOrder) -> WatchOptions {
        self.order = Some(order);
        self
    }

    /// Only results and the end; [`Watch::status`] stays None.
    pub fn results_only(mut self) -> WatchOptions {
        self.filter.results_only = true;
        self
    }

    /// Results come without their values.
    pub fn omit_payloads(mut self) -> WatchOptions {
        self.filter.omit_payloads = true;
        self
    }

    /// The execution that waits for this run: its slot in its component server is given back meanwhile.
    pub fn task_token(mut self, token: impl Into<String>) -> WatchOptions {
        self.filter.task_token = token.into();
        self
    }
}

/// What one message of the gateway brought.
struct Update {
    /// Each with the cursor that holds once it was handed out.
    results: Vec<(ItemResult, u64)>,
    /// That holds once all of them were.
    cursor: u64,
    status: Option<RunStatus>,
}

/// The results of a run as they become durable: a stream that ends with the run.
///
/// A lost connection is taken up again from the last cursor; what was handed out is not handed out again. Dropped early, it
/// leaves the run alone.
pub struct Watch {
    run_id: String,
    updates: mpsc::Receiver<Result<Update>>,
    ready: VecDeque<(ItemResult, u64)>,
    cursor: u64,
    /// Once the batch at hand is used up.
    next_cursor: u64,
    status: Option<RunStatus>,
    task: AbortHandle,
}

/// Messages of a watch that are under way to its reader; what comes next waits in the gateway's log.
const UPDATES: usize = 2;

impl Watch {
    /// Follow a run that exists.
    pub(crate) fn follow(client: Client, run_id: String, options: WatchOptions) -> Result<Watch> {
        if options.after_seq > 0 && options.order == Some(ResultOrder::ByIndex) {
            return Err(Error::invalid("order", "a watch by index begins at after_seq 0; use list_run_items(after_item_index)"));
        }
        let (updates, received) = mpsc::channel(UPDATES);
        let follower = Follower::new(client, Some(run_id.clone()), None, options, updates, None);
        Ok(Watch::of(run_id, follower.fold.through_seq, received, follower))
    }

    /// Submit a run and follow it; returns when it was accepted.
    pub(crate) async fn submit(client: Client, request: v1::SubmitRunRequest, options: WatchOptions) -> Result<Watch> {
        let (updates, received) = mpsc::channel(UPDATES);
        let (accept, accepted) = oneshot::channel();
        let follower = Follower::new(client, None, Some(request), options, updates, Some(accept));
        let mut watch = Watch::of(String::new(), 0, received, follower);
        watch.run_id = match accepted.await {
            Ok(run_id) => run_id,
            Err(_) => match watch.updates.recv().await {
                Some(Err(error)) => return Err(error),
                _ => return Err(Error::new(Reason::Internal, "the watch ended before the run was accepted")),
            },
        };
        Ok(watch)
    }

    fn of(run_id: String, cursor: u64, updates: mpsc::Receiver<Result<Update>>, follower: Follower) -> Watch {
        let task = tokio::spawn(follower.run()).abort_handle();
        Watch { run_id, updates, ready: VecDeque::new(), cursor, next_cursor: cursor, status: None, task }
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Give this as `after_seq` to another watch: it hands out everything that this one has not.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The run as of what was received, without results. None before the first event, so always for a watch with `after_seq`.
    pub fn status(&self) -> Option<&RunStatus> {
        self.status.as_ref()
    }

    /// The next result; None when the run has ended.
    pub async fn next(&mut self) -> Option<Result<ItemResult>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Whatever has come since the last batch, at least one result; None when the run has ended.
    pub async fn next_batch(&mut self) -> Option<Result<Vec<ItemResult>>> {
        if let Err(error) = std::future::poll_fn(|context| self.poll_ready(context)).await? {
            return Some(Err(error));
        }
        self.cursor = self.next_cursor;
        Some(Ok(self.ready.drain(..).map(|(result, _)| result).collect()))
    }

    /// Ready once there is a result, or none will come.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        while self.ready.is_empty() {
            match ready!(self.updates.poll_recv(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => {
                    let cursor = self.cursor;
                    return Poll::Ready(Some(Err(error.with("afterSeq", cursor).with("runId", self.run_id.clone()))));
                }
                Some(Ok(update)) => {
                    self.ready = update.results.into();
                    self.next_cursor = update.cursor;
                    self.status = update.status.or(self.status.take());
                    if self.ready.is_empty() {
                        self.cursor = self.next_cursor;
                    }
                }
            }
        }
        Poll::Ready(Some(Ok(())))
    }
}

impl Stream for Watch {
    type Item = Result<ItemResult>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<ItemResult>>> {
        match ready!(self.poll_ready(context)) {
            None => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(())) => Poll::Ready(self.ready.pop_front().map(|(result, cursor)| {
                self.cursor = cursor;
                Ok(result)
            })),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Segments, cursor, and the accepted run.
struct Message {
    segments: Vec<v1::Segment>,
    through_seq: u64,
    run_id: Option<String>,
}

enum Messages {
    Watch(Streaming<v1::WatchRunResponse>),
    Submit(Streaming<v1::SubmitAndWatchRunResponse>),
}

impl Messages {
    async fn next(&mut self) -> Result<Option<Message>, tonic::Status> {
        Ok(match self {
            Messages::Watch(stream) => stream.message().await?.map(|message| Message {
                segments: message.segments,
                through_seq: message.through_seq,
                run_id: None,
            }),
            Messages::Submit(stream) => stream.message().await?.map(|message| Message {
                segments: message.segments,
                through_seq: message.through_seq,
                run_id: message.run.map(|run| run.run_id),
            }),
        })
    }
}

/// The task behind a watch: reads, resumes, folds, and hands on what is new.
struct Follower {
    client: Client,
    run_id: Option<String>,
    /// Repeated as it stands until the run is known.
    submission: Option<v1::SubmitRunRequest>,
    filter: v1::WatchOptions,
    fold: RunFold,
    by_index: bool,
    /// By index: results that wait for one before them, each with its number in the log.
    held: BTreeMap<u64, (u64, ItemResult)>,
    next_index: u64,
    updates: mpsc::Sender<Result<Update>>,
    accept: Option<oneshot::Sender<String>>,
}

impl Follower {
    fn new(
        client: Client,
        run_id: Option<String>,
        submission: Option<v1::SubmitRunRequest>,
        options: WatchOptions,
        updates: mpsc::Sender<Result<Update>>,
        accept: Option<oneshot::Sender<String>>,
    ) -> Follower {
        Follower {
            client,
            run_id,
            submission,
            filter: options.filter,
            fold: RunFold::starting_after(options.after_seq),
            by_index: options.order == Some(ResultOrder::ByIndex),
            held: BTreeMap::new(),
            next_index: 0,
            updates,
            accept,
        }
    }

    async fn run(mut self) {
        let mut resumption = Resumption::new(self.client.policy().clone());
        let mut stream: Option<Messages> = None;
        loop {
            let error = match self.step(&mut stream, &mut resumption).await {
                Ok(true) => return,
                Ok(false) => continue,
                Err(error) => error,
            };
            stream = None;
            match resumption.next_delay(&error, self.run_id.is_some()) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => {
                    self.accept = None;
                    let _ = self.updates.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// One message; whether it was the last one.
    async fn step(&mut self, stream: &mut Option<Messages>, resumption: &mut Resumption) -> Result<bool> {
        if stream.is_none() {
            *stream = Some(self.open().await?);
        }
        let Some(messages) = stream.as_mut() else { return Ok(false) };
        let Some(message) = messages.next().await? else {
            if self.fold.is_terminal() || self.is_behind_the_end().await? {
                return Ok(true);
            }
            return Err(Error::new(Reason::Unavailable, "the stream ended before the run did"));
        };
        resumption.succeeded();
        if let (Some(run_id), None) = (message.run_id, &self.run_id) {
            if let Some(accept) = self.accept.take() {
                let _ = accept.send(run_id.clone());
            }
            self.run_id = Some(run_id);
        }
        let mut fresh = Vec::new();
        for segment in message.segments {
            self.fold.apply(segment, &mut fresh)?;
        }
        self.fold.through_seq = self.fold.through_seq.max(message.through_seq);
        for (_, result) in &mut fresh {
            self.client.read_payload(result).await?;
        }
        let is_over = self.fold.is_terminal();
        let update = self.update(fresh);
        // Nobody reads any more: the task will be aborted.
        let _ = self.updates.send(Ok(update)).await;
        Ok(is_over)
    }

    async fn open(&self) -> Result<Messages> {
        let connection = self.client.connection();
        let mut stub = connection.watches();
        // A stream is bounded by keepalive; only its beginning has a deadline.
        match (&self.run_id, &self.submission) {
            (None, Some(run)) => {
                let request = v1::SubmitAndWatchRunRequest {
                    run: Some(run.clone()),
                    options: Some(self.filter.clone()),
                    after_seq: self.fold.through_seq,
                };
                Ok(Messages::Submit(stub.submit_and_watch_run(connection.request(request)).await?.into_inner()))
            }
            (run_id, _) => {
                let request = v1::WatchRunRequest {
                    run_id: run_id.clone().unwrap_or_default(),
                    after_seq: self.fold.through_seq,
                    options: Some(self.filter.clone()),
                    ..v1::WatchRunRequest::default()
                };
                Ok(Messages::Watch(stub.watch_run(connection.request(request)).await?.into_inner()))
            }
        }
    }

    /// Whether the log ends at the cursor: a watch that begins there gets no event at all, not even the last.
    async fn is_behind_the_end(&self) -> Result<bool> {
        let Some(run_id) = self.run_id.clone() else { return Ok(false) };
        let connection = self.client.connection();
        let request = v1::GetRunRequest { run_id, ..v1::GetRunRequest::default() };
        let answer = connection.unary(request, |request| {
            let mut stub = connection.runs();
            async move { stub.get_run(request).await }
        });
        let run = answer.await?.run.unwrap_or_default();
        let is_terminal = RunState::from_number(run.status).is_some_and(RunState::is_terminal);
        Ok(is_terminal && run.as_of_seq <= self.fold.through_seq)
    }

    fn update(&mut self, fresh: Vec<(u64, ItemResult)>) -> Update {
        let ordered = if self.by_index { self.in_order(fresh) } else { fresh };
        // What a reader has not seen yet lies behind the cursor, whatever the order in which it sees it.
        let mut first_unseen = self.held.values().map(|(seq, _)| *seq).min().unwrap_or(self.fold.through_seq + 1);
        let cursor = first_unseen - 1;
        let mut results: Vec<(ItemResult, u64)> = Vec::with_capacity(ordered.len());
        for (seq, result) in ordered.into_iter().rev() {
            results.push((result, first_unseen - 1));
            first_unseen = first_unseen.min(seq);
        }
        results.reverse();
        Update { results, cursor, status: self.fold.snapshot() }
    }

    fn in_order(&mut self, fresh: Vec<(u64, ItemResult)>) -> Vec<(u64, ItemResult)> {
        self.held.extend(fresh.into_iter().map(|(seq, result)| (result.item_index, (seq, result))));
        let mut ready = Vec::new();
        while let Some(entry) = self.held.remove(&self.next_index) {
            ready.push(entry);
            self.next_index += 1;
        }
        if self.fold.is_terminal() {
            // Items that a cancel kept from starting leave holes.
            ready.extend(std::mem::take(&mut self.held).into_values());
        }
        ready
    }
}
