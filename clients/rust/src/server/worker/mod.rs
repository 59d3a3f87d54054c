//! The conversation of a gRPC worker with its gateway, over any number of connections.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::execution::{CallId, Execution, Executor, Origin, Wire, locked};
use super::failure::Failure;
use super::registry::{Found, Registry};
use super::runs::Runs;
use crate::client::{Client, ClientBuilder};
use crate::error::{Error, Reason, Result};
use crate::json::{self, RawJson};
use crate::retry::{back_off, dice, new_id};
use crate::v1::connect_request::Message as Up;
use crate::v1::connect_response::Message as Down;
use crate::v1::{self, ConnectRequest, ConnectResponse};

const PROTOCOL_VERSION: u32 = 1;
/// Results of one message end here; larger ones stall the messages of others.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// A gateway reads messages of 16 MiB; one that is larger would end the connection, and the next one, too.
const MAX_OUTPUT_BYTES: usize = 16 * 1024 * 1024 - 64 * 1024;
/// Messages under way to the gateway; what comes meanwhile goes together into the next one.
const SENDING: usize = 4;
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(4);

/// Ready at SIGTERM or SIGINT. To be called inside a runtime.
pub(crate) fn told_to_end() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|error| Error::new(Reason::Internal, format!("no signal can be heard: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What is to be sent.
#[derive(Default)]
struct Outbox {
    progress: Vec<v1::WorkerProgress>,
    /// The last one may still grow.
    results: VecDeque<v1::WorkerResults>,
    last_bytes: usize,
    cancelled: Vec<v1::WorkerCancelled>,
    started: Vec<u64>,
    beat: bool,
    leaving: Option<Vec<u64>>,
    /// Sent, and to be sent again over the next connection.
    unacknowledged: VecDeque<v1::WorkerResults>,
    sequence: u64,
}

impl Outbox {
    fn room(&mut self, bytes: usize) -> &mut v1::WorkerResults {
        if self.results.is_empty() || self.last_bytes + bytes > MESSAGE_BYTES {
            self.results.push_back(v1::WorkerResults::default());
            self.last_bytes = 0;
        }
        self.last_bytes += bytes;
        self.results.back_mut().expect("there is one")
    }

    /// Everything, in the order in which it is to be understood: progress ahead of results, and a cancel's answer behind the
    /// results that it says nothing about.
    fn take(&mut self) -> Vec<Up> {
        let mut messages: Vec<Up> = self.progress.drain(..).map(Up::Progress).collect();
        while let Some(mut results) = self.results.pop_front() {
            self.sequence += 1;
            results.sequence = self.sequence;
            self.unacknowledged.push_back(results.clone());
            messages.push(Up::Results(results));
        }
        messages.extend(self.cancelled.drain(..).map(Up::Cancelled));
        if !self.started.is_empty() || std::mem::take(&mut self.beat) {
            messages.push(Up::Heartbeat(v1::WorkerHeartbeat { started: std::mem::take(&mut self.started) }));
        }
        messages.extend(self.leaving.take().map(|given_back| Up::Leaving(v1::WorkerLeaving { given_back })));
        messages
    }

    fn is_settled(&self) -> bool {
        self.results.is_empty() && self.unacknowledged.is_empty() && self.leaving.is_none() && self.cancelled.is_empty()
    }

    fn acknowledge(&mut self, through: u64) {
        while self.unacknowledged.front().is_some_and(|results| results.sequence <= through) {
            self.unacknowledged.pop_front();
        }
    }

    /// Executions whose results the gateway may not have.
    fn held(&self) -> impl Iterator<Item = u64> {
        self.unacknowledged
            .iter()
            .chain(&self.results)
            .flat_map(|results| results.executions.iter().copied().chain(results.failures.iter().map(|failure| failure.execution)))
    }

    /// Over a new connection: what was said to the former one and needs no repetition is forgotten, and so are results of
    /// executions that nobody wants.
    fn reconnect(&mut self, unwanted: &[u64]) {
        self.progress.clear();
        self.cancelled.clear();
        for results in self.unacknowledged.iter_mut().chain(&mut self.results) {
            let outputs = std::mem::take(&mut results.outputs);
            let kept = std::mem::take(&mut results.executions).into_iter().zip(outputs);
            let kept = kept.filter(|(number, _)| !unwanted.contains(number));
            (results.executions, results.outputs) = kept.unzip();
            results.failures.retain(|failure| !unwanted.contains(&failure.execution));
        }
    }
}

struct Worker {
    client: Mutex<Client>,
    outbox: Mutex<Outbox>,
    news: Notify,
    settled: Notify,
}

impl Worker {
    fn client(&self) -> Client {
        locked(&self.client).clone()
    }

    fn put(&self, add: impl FnOnce(&mut Outbox)) {
        add(&mut locked(&self.outbox));
        self.news.notify_one();
    }
}

impl Wire for Worker {
    fn answer(&self, execution: &Execution, answer: Result<Bytes, Failure>) {
        let answer = answer.and_then(|output| match output.len() {
            bytes if bytes > MAX_OUTPUT_BYTES => Err(Failure::large_output(bytes, MAX_OUTPUT_BYTES)),
            _ => Ok(output),
        });
        self.put(|outbox| add_answer(outbox, execution.number, answer));
    }

    fn progress(&self, execution: &Execution, fraction: f64, message: Option<&str>) {
        let progress =
            v1::WorkerProgress { execution: execution.number, fraction, message: message.unwrap_or_default().to_owned() };
        self.put(|outbox| outbox.progress.push(progress));
    }

    fn runs(&self, execution: &Execution) -> Runs {
        Runs::Client(self.client(), execution.task_token())
    }
}

fn add_answer(outbox: &mut Outbox, execution: u64, answer: Result<Bytes, Failure>) {
    match answer {
        Ok(output) => {
            let results = outbox.room(output.len() + 16);
            results.executions.push(execution);
            results.outputs.push(output);
        }
        Err(failure) => {
            let data: Option<Bytes> = failure.data.map(|data: RawJson| data.get().to_owned().into());
            let bytes = failure.message.len() + data.as_ref().map_or(0, Bytes::len) + 32;
            let data = data.map(|json| v1::JsonValue { kind: Some(v1::json_value::Kind::Json(json)) });
            let failure = v1::WorkerFailure { execution, code: failure.code, message: failure.message, data };
            outbox.room(bytes).failures.push(failure);
        }
    }
}

/// How a connection ended.
enum Ended {
    /// In order: the gateway or we wanted it.
    Closed,
    Lost(Error),
}

/// Serve a queue until told to end, or until the gateway refuses this worker for good.
pub(crate) async fn serve(
    registry: Arc<Registry>,
    capacity: u32,
    queue: String,
    gateway: ClientBuilder,
    drain_timeout: Duration,
    end: impl Future<Output = ()>,
) -> Result<()> {
    let client = Mutex::new(gateway.clone().build()?);
    let worker = Arc::new(Worker { client, outbox: Mutex::default(), news: Notify::new(), settled: Notify::new() });
    let executor = Executor::new(registry, Handle::current());
    executor.connect(worker.clone());
    let sweeper = tokio::spawn({
        let (worker, executor) = (worker.clone(), executor.clone());
        async move {
            executor
                .sweep_forever(|swept| {
                    if !swept.begun.is_empty() {
                        worker.put(|outbox| outbox.started.extend(swept.begun.iter().filter_map(number_of)));
                    }
                })
                .await;
        }
    });
    let mut link = Link {
        gateway,
        worker,
        executor: executor.clone(),
        capacity,
        queue,
        worker_id: new_id(),
        session: String::new(),
        leaving: false,
        drain_timeout,
    };
    let served = link.serve(end).await;
    sweeper.abort();
    executor.abandon(None);
    served
}

fn number_of(id: &CallId) -> Option<u64> {
    match id {
        CallId::Number(number) => Some(*number),
        CallId::Text(_) => None,
    }
}

struct Link {
    gateway: ClientBuilder,
    worker: Arc<Worker>,
    executor: Arc<Executor>,
    capacity: u32,
    queue: String,
    worker_id: String,
    /// Of the former connection.
    session: String,
    /// We were told to end.
    leaving: bool,
    drain_timeout: Duration,
}

impl Link {
    async fn serve(&mut self, end: impl Future<Output = ()>) -> Result<()> {
        let mut end = pin!(end);
        let mut failures = 0;
        loop {
            let had_session = self.session.clone();
            let ended = self.connect_once(end.as_mut()).await;
            if self.leaving {
                return Ok(());
            }
            if self.session != had_session {
                failures = 0;
            }
            match ended {
                Ended::Closed => failures = 0,
                Ended::Lost(error) => {
                    if self.session.is_empty() && is_refusal(&error) {
                        return Err(error);
                    }
                    if failures == 0 {
                        let client = self.worker.client();
                        let target = client.target();
                        eprintln!("flowspan: the connection to {target} was lost, trying again: {error}");
                    }
                }
            }
            tokio::select! {
                () = end.as_mut() => return Ok(()),
                () = tokio::time::sleep(back_off(FIRST_DELAY, LONGEST_DELAY, failures, dice())) => {}
            }
            failures += 1;
            // A gateway that was found, not named, may be back at another address, with another token.
            if let Ok(client) = self.gateway.clone().build() {
                *locked(&self.worker.client) = client;
            }
        }
    }

    fn hello(&self) -> Result<ConnectRequest> {
        let schema = |schema: &Option<serde_json::Value>| -> Result<Option<v1::JsonValue>> {
            let Some(schema) = schema else { return Ok(None) };
            Ok(Some(v1::JsonValue { kind: Some(v1::json_value::Kind::Json(json::encode(schema)?)) }))
        };
        let mut components = Vec::new();
        for component in self.executor.registry.all() {
            components.push(v1::WorkerComponent {
                name: component.name.clone(),
                description: component.description.clone().unwrap_or_default(),
                input_schema: schema(&component.input_schema)?,
                output_schema: schema(&component.output_schema)?,
            });
        }
        let mut held = self.executor.held();
        held.extend(locked(&self.worker.outbox).held());
        held.sort_unstable();
        held.dedup();
        Ok(of(Up::Hello(v1::WorkerHello {
            queue: self.queue.clone(),
            components,
            capacity: self.capacity,
            protocol_versions: vec![PROTOCOL_VERSION],
            worker_id: self.worker_id.clone(),
            session: self.session.clone(),
            held,
            sdk: format!("flowspan-rust/{}", crate::VERSION),
        })))
    }

    /// One connection, from Hello to its end.
    async fn connect_once(&mut self, mut end: std::pin::Pin<&mut impl Future<Output = ()>>) -> Ended {
        let (send, sent) = mpsc::channel(SENDING);
        let opened = async {
            let hello = self.hello()?;
            // There is room: it is the first.
            let _ = send.send(hello).await;
            let client = self.worker.client();
            let connection = client.connection();
            let request = connection.request(ReceiverStream::new(sent));
            let mut stub = connection.workers();
            let mut stream = stub.connect(request).await?.into_inner();
            match stream.message().await?.and_then(|message| message.message) {
                Some(Down::Welcome(welcome)) => Ok((stream, welcome)),
                _ => Err(Error::new(Reason::PluginProtocol, "the gateway did not answer Hello with Welcome")),
            }
        };
        let opened = tokio::select! {
            opened = tokio::time::timeout(HELLO_TIMEOUT, opened) => opened,
            () = end.as_mut() => {
                self.leaving = true;
                return Ended::Closed;
            }
        };
        let (stream, welcome) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Ended::Lost(error),
            Err(_) => return Ended::Lost(Error::new(Reason::Timeout, "the gateway did not answer Hello in time")),
        };
        let again = self.take_welcome(&welcome);
        let heartbeat = Duration::try_from_secs_f64(welcome.heartbeat_seconds).unwrap_or_default();
        let heartbeat = if heartbeat.is_zero() { DEFAULT_HEARTBEAT } else { heartbeat };
        let sender = AbortOnDrop(tokio::spawn(send_forever(self.worker.clone(), send, again, heartbeat)));
        let conversation = Conversation { link: self, welcome, heartbeat, sender: Some(sender), leaving_until: None };
        conversation.run(stream, end).await
    }

    /// What of the former connection still counts; the results to be sent again.
    fn take_welcome(&mut self, welcome: &v1::WorkerWelcome) -> Vec<Up> {
        if welcome.session != self.session {
            // Another life of the gateway: nothing of what is held is wanted any more.
            self.executor.abandon(None);
            *locked(&self.worker.outbox) = Outbox::default();
            self.session.clone_from(&welcome.session);
            return Vec::new();
        }
        let unwanted: Vec<CallId> = welcome.unwanted.iter().copied().map(CallId::Number).collect();
        self.executor.abandon(Some(&unwanted));
        let mut outbox = locked(&self.worker.outbox);
        outbox.reconnect(&welcome.unwanted);
        outbox.unacknowledged.iter().cloned().map(Up::Results).collect()
    }
}

/// What no later try would change.
fn is_refusal(error: &Error) -> bool {
    use tonic::Code;
    let codes = [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
    codes.contains(&error.reason().grpc_code())
}

fn of(message: Up) -> ConnectRequest {
    ConnectRequest { message: Some(message) }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends what there is as it comes; a sign of life where nothing does. Ends with the connection.
async fn send_forever(worker: Arc<Worker>, send: mpsc::Sender<ConnectRequest>, again: Vec<Up>, heartbeat: Duration) {
    for message in again {
        if send.send(of(message)).await.is_err() {
            return;
        }
    }
    // Twice as often as is asked for, so that a busy moment is no silence.
    let mut beat = tokio::time::interval(heartbeat / 2);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.news.notified() => {}
            _ = beat.tick() => locked(&worker.outbox).beat = true,
        }
        // Whoever is about to end an execution does so first: their results go together.
        tokio::task::yield_now().await;
        let messages = locked(&worker.outbox).take();
        for message in messages {
            if send.send(of(message)).await.is_err() {
                return;
            }
        }
        worker.settled.notify_one();
    }
}

/// A connection that was welcomed.
struct Conversation<'a> {
    link: &'a mut Link,
    welcome: v1::WorkerWelcome,
    heartbeat: Duration,
    /// None once our side of the stream is closed.
    sender: Option<AbortOnDrop>,
    /// Nothing new is taken any more, because of the gateway or of us.
    leaving_until: Option<Instant>,
}

impl Conversation<'_> {
    async fn run(mut self, mut stream: Streaming<ConnectResponse>, mut end: std::pin::Pin<&mut impl Future<Output = ()>>) -> Ended {
        let silence = self.heartbeat * 3;
        let mut heard = Instant::now();
        loop {
            let (worker, executor) = (self.link.worker.clone(), self.link.executor.clone());
            let is_leaving = self.leaving_until.is_some();
            let finished = async {
                executor.idle().await;
                while !locked(&worker.outbox).is_settled() {
                    worker.settled.notified().await;
                }
            };
            let late = async {
                match self.leaving_until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                message = stream.message() => match message {
                    Ok(Some(message)) => {
                        heard = Instant::now();
                        self.take(message);
                    }
                    Ok(None) if self.sender.is_none() => return Ended::Closed,
                    Ok(None) => return Ended::Lost(Error::new(Reason::Unavailable, "the gateway closed the stream")),
                    Err(_) if self.sender.is_none() => return Ended::Closed,
                    Err(status) => return Ended::Lost(status.into()),
                },
                () = end.as_mut(), if !self.link.leaving => {
                    self.link.leaving = true;
                    self.leave();
                }
                () = finished, if is_leaving && self.sender.is_some() => {
                    // All is done and acknowledged: our side is closed, and the gateway closes the other one.
                    self.sender = None;
                    self.leaving_until = Some(Instant::now() + CLOSE_TIMEOUT);
                }
                () = late => return Ended::Closed,
                () = tokio::time::sleep_until(heard + silence) => {
                    return Ended::Lost(Error::new(Reason::Timeout, "the gateway gives no sign of life"));
                }
            }
        }
    }

    fn leave(&mut self) {
        self.leaving_until = Some(Instant::now() + self.link.drain_timeout);
        let given_back = self.link.executor.give_back(None).iter().filter_map(number_of).collect();
        self.link.worker.put(|outbox| outbox.leaving = Some(given_back));
    }

    fn take(&mut self, message: ConnectResponse) {
        match message.message {
            Some(Down::Execute(execute)) => execute.batches.into_iter().for_each(|batch| self.execute(batch)),
            Some(Down::Cancel(cancel)) => self.cancel(&cancel.executions),
            Some(Down::Acknowledged(acknowledged)) => {
                locked(&self.link.worker.outbox).acknowledge(acknowledged.through_sequence);
                self.link.worker.settled.notify_one();
            }
            Some(Down::Drain(drain)) => {
                if self.leaving_until.is_none() {
                    eprintln!("flowspan: the gateway sends nothing new: {}", drain.reason);
                    self.leaving_until = Some(Instant::now() + self.link.drain_timeout);
                }
            }
            Some(Down::Heartbeat(_) | Down::Welcome(_)) | None => {}
        }
    }

    fn execute(&mut self, batch: v1::WorkerBatch) {
        let worker = &self.link.worker;
        if self.link.leaving {
            // It was under way when we said that we leave.
            worker.put(|outbox| outbox.leaving.get_or_insert_default().extend(batch.executions));
            return;
        }
        let Some(found) = self.link.executor.registry.find(&batch.component) else {
            let failure = Failure::no_component(&batch.component);
            worker.put(|outbox| batch.executions.iter().for_each(|number| add_answer(outbox, *number, Err(failure.clone()))));
            return;
        };
        let origin = Arc::new(Origin {
            trace_id: Some(batch.trace_id).filter(|id| !id.is_empty()),
            run_id: Some(batch.run_id),
            flow_id: Some(batch.flow_id),
            step_id: Some(batch.step_id),
            flags: Some(if batch.sampled { "01" } else { "00" }.to_owned()),
            span_prefix: self.welcome.span_prefix.clone(),
            token_prefix: self.welcome.token_prefix.clone(),
            ..Origin::default()
        });
        let timeout = Duration::try_from_secs_f64(batch.timeout_seconds).ok().filter(|timeout| !timeout.is_zero());
        let calls = batch.executions.into_iter().zip(batch.item_indexes).zip(batch.attempts).zip(batch.inputs);
        let execution = |(((number, item_index), attempt), input)| {
            let found = Found { component: found.component.clone(), parameters: found.parameters.clone() };
            Execution::new(CallId::Number(number), found, input, origin.clone(), None, Some(item_index), attempt, timeout, true)
        };
        self.link.executor.begin(calls.map(execution).collect());
    }

    fn cancel(&mut self, executions: &[u64]) {
        let executor = &self.link.executor;
        let ids: Vec<CallId> = executions.iter().copied().map(CallId::Number).collect();
        let dropped = executor.give_back(Some(&ids));
        let (_, running) = executor.cancel(&ids);
        let numbers = |ids: &[CallId]| ids.iter().filter_map(number_of).collect();
        let cancelled = v1::WorkerCancelled { dropped: numbers(&dropped), running: numbers(&running) };
        self.link.worker.put(|outbox| outbox.cancelled.push(cancelled));
    }
}

#[cfg(test)]
mod tests;
