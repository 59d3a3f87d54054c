//! The conversation with the gateway that started this process: whole reads in, executions, few writes out.

mod batch;
pub(crate) mod outgoing;
pub(crate) mod pipes;

use std::borrow::Cow;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::execution::{CallId, Execution, Executor, Origin, Said, Swept, Wire, locked};
use super::failure::Failure;
use super::registry::{Component, Found, Registry};
use super::runs::Runs;
use crate::error::{Error, Reason, Result};
use crate::json::RawJson;
use batch::AnswerBatch;
use outgoing::Outgoing;
use pipes::WirePipes;

const PROTOCOL_VERSION: u64 = 1;
const READ_BYTES: usize = 256 * 1024;
const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;
/// With room for the message around it.
const MAX_OUTPUT_BYTES: usize = MAX_LINE_BYTES - 1024;
/// Beyond it, reading rests: a gateway that takes no answers gets no more work done.
const MAX_UNWRITTEN_BYTES: usize = 64 * 1024 * 1024;
/// Answers of one read are written in pieces of so many, so that the gateway works on them meanwhile.
const EARLY_ANSWERS: usize = 32;
/// How long executions may go on after the end of stdin where somebody still reads the answers; also for writing the last ones.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const PARENT_INTERVAL: Duration = Duration::from_secs(1);

/// Answers on their way out.
#[derive(Default)]
struct Unwritten {
    batch: AnswerBatch,
    /// Of the write that is under way.
    writing_bytes: usize,
    /// The reader is at work and will say when to write.
    corked: bool,
    closed: bool,
}

pub(crate) struct Pipes {
    unwritten: Mutex<Unwritten>,
    /// Something is to be written, or it was.
    moved: Condvar,
    outgoing: std::sync::OnceLock<Arc<Outgoing>>,
    ended: Notify,
}

impl Pipes {
    fn new() -> Arc<Pipes> {
        let pipes = Arc::new(Pipes {
            unwritten: Mutex::default(),
            moved: Condvar::new(),
            outgoing: std::sync::OnceLock::new(),
            ended: Notify::new(),
        });
        let weak = Arc::downgrade(&pipes);
        let send = move |line: &str| {
            if let Some(pipes) = weak.upgrade() {
                pipes.put(|batch| batch.add_line(line));
            }
        };
        let _ = pipes.outgoing.set(Arc::new(Outgoing::new(send)));
        pipes
    }

    fn outgoing(&self) -> &Arc<Outgoing> {
        self.outgoing.get().expect("set when the pipes were made")
    }

    fn put(&self, add: impl FnOnce(&mut AnswerBatch)) {
        let mut unwritten = locked(&self.unwritten);
        if unwritten.closed {
            return;
        }
        add(&mut unwritten.batch);
        unwritten.batch.answers += 1;
        if !unwritten.corked || unwritten.batch.answers >= EARLY_ANSWERS {
            self.moved.notify_all();
        }
    }

    fn cork(&self) {
        let mut unwritten = locked(&self.unwritten);
        while !unwritten.closed && unwritten.batch.len() + unwritten.writing_bytes > MAX_UNWRITTEN_BYTES {
            unwritten = self.moved.wait(unwritten).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        unwritten.corked = true;
    }

    fn uncork(&self) {
        locked(&self.unwritten).corked = false;
        self.moved.notify_all();
    }

    fn close(&self) {
        locked(&self.unwritten).closed = true;
        self.moved.notify_all();
    }

    /// On a thread of its own: writes whatever has come together meanwhile, until the pipes are closed and all is written.
    fn write_forever(&self, mut pipe: File) {
        loop {
            let data = {
                let mut unwritten = locked(&self.unwritten);
                unwritten.writing_bytes = 0;
                loop {
                    let may_write = !unwritten.corked || unwritten.batch.answers >= EARLY_ANSWERS || unwritten.closed;
                    if may_write && unwritten.batch.len() > 0 {
                        break;
                    }
                    if unwritten.closed {
                        return;
                    }
                    self.moved.notify_all();
                    unwritten = self.moved.wait(unwritten).unwrap_or_else(std::sync::PoisonError::into_inner);
                }
                let data = unwritten.batch.take();
                unwritten.writing_bytes = data.len();
                data
            };
            if pipes::write_all(&mut pipe, &data).is_err() {
                self.close();
                self.ended.notify_one();
                return;
            }
        }
    }
}

impl Wire for Pipes {
    fn answer(&self, execution: &Execution, answer: Result<Bytes, Failure>) {
        let answer = answer.and_then(|output| match output.len() {
            bytes if bytes > MAX_OUTPUT_BYTES => Err(Failure::large_output(bytes, MAX_OUTPUT_BYTES)),
            _ => Ok(output),
        });
        self.put(|batch| match (answer, execution.bulk) {
            (Ok(output), true) => batch.add_bulk_output(execution.number, &text(&output)),
            (Ok(output), false) => batch.add_output(&execution.id, &text(&output)),
            (Err(failure), true) => batch.add_bulk_failure(execution.number, &failure),
            (Err(failure), false) => batch.add_error(&execution.id, &failure),
        });
    }

    fn progress(&self, execution: &Execution, fraction: f64, message: Option<&str>) {
        let id = &execution.id;
        let params = json!({"taskToken": execution.task_token(), "fraction": fraction, "message": message}).to_string();
        let line = format!(r#"{{"jsonrpc":"2.0","method":"$/progress","params":{{"id":{id},{}}}"#, &params[1..]);
        self.put(|batch| batch.add_line(&line));
    }

    fn runs(&self, execution: &Execution) -> Runs {
        let mut members = Vec::new();
        if let Some(observability) = execution.said.as_ref().and_then(|said| said.observability.clone()) {
            members.push(("observability", observability));
        }
        if let Some(token) = execution.task_token().and_then(|token| RawJson::of(&token).ok()) {
            members.push(("taskToken", token));
        }
        Runs::Pipes(self.outgoing().clone(), members)
    }
}

fn text(output: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(output)
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Any message; members that are null are there.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ExecuteParams<'a> {
    #[serde(borrow)]
    component: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    input: Option<&'a RawValue>,
    #[serde(default, rename = "timeoutMs")]
    timeout_ms: Option<f64>,
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(default, rename = "taskToken", alias = "task_token")]
    task_token: Option<String>,
    #[serde(default, rename = "idempotencyToken", alias = "idempotency_token")]
    idempotency_token: Option<String>,
    #[serde(default, rename = "itemIndex", alias = "item_index")]
    item_index: Option<u64>,
    #[serde(default)]
    observability: Option<RawJson>,
}

/// `$/execute`: calls of one step of one run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecuteMany<'a> {
    #[serde(borrow)]
    component: Cow<'a, str>,
    observability: Origin,
    span_prefix: String,
    token_prefix: String,
    /// `[number, itemIndex, attempt, input]`.
    #[serde(borrow)]
    calls: Vec<(u64, u64, u32, &'a RawValue)>,
    #[serde(default)]
    timeout_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InitializeParams {
    runtime_protocol_version: Option<u64>,
    #[serde(rename = "runtime_protocol_version")]
    snake_version: Option<u64>,
    protocol_versions: Vec<u64>,
    capabilities: Value,
}

#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow)]
    ids: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct OneId<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    component: Cow<'a, str>,
}

/// One conversation. All messages are taken on the reader's thread.
struct Connection {
    pipes: Arc<Pipes>,
    executor: Arc<Executor>,
    capacity: u32,
    initialized: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    gateway_drains: AtomicBool,
    draining: AtomicBool,
    shutting_down: AtomicBool,
    input_ended: AtomicBool,
    ending: Notify,
}

/// Serve the gateway that started this process until it is gone.
pub(crate) async fn serve(registry: Arc<Registry>, capacity: u32, wire: WirePipes) -> Result<()> {
    let pipes = Pipes::new();
    let executor = Executor::new(registry, Handle::current());
    executor.connect(pipes.clone());
    let shared = Arc::new(Shared::default());
    let output = wire.write.try_clone().map_err(|error| Error::new(Reason::Internal, error.to_string()))?;
    let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        thread.map_err(|error| Error::new(Reason::Internal, format!("no thread could be started: {error}")))
    };
    let (finished, written) = tokio::sync::oneshot::channel();
    start("flowspan-write", {
        let pipes = pipes.clone();
        Box::new(move || {
            pipes.write_forever(wire.write);
            let _ = finished.send(());
        })
    })?;
    start("flowspan-read", {
        let connection =
            Connection { pipes: pipes.clone(), executor: executor.clone(), capacity, initialized: false, shared: shared.clone() };
        Box::new(move || connection.read_forever(wire.read))
    })?;
    let sweeper = tokio::spawn({
        let (pipes, executor, shared) = (pipes.clone(), executor.clone(), shared.clone());
        async move { executor.clone().sweep_forever(|swept| take_swept(&pipes, &executor, &shared, capacity, swept)).await }
    });
    tokio::select! {
        () = pipes.ended.notified() => {}
        () = parent_died() => {}
        () = shared.ending.notified() => {
            if shared.shutting_down.load(Ordering::Acquire) {
                executor.idle().await;
            } else if pipes::has_reader(&output) {
                // A gateway that died has closed both pipes. One that stops still reads what is finished soon.
                let _ = tokio::time::timeout(LAST_ANSWERS, executor.idle()).await;
            }
        }
    }
    sweeper.abort();
    pipes.close();
    executor.abandon(None);
    pipes.outgoing().close();
    // For a moment only: nobody may be there to read it.
    let _ = tokio::time::timeout(LAST_ANSWERS, written).await;
    Ok(())
}

/// A second belt beside the end of stdin, which another process may hold open.
async fn parent_died() {
    let parent = pipes::parent();
    while parent > 1 && pipes::parent() == parent {
        tokio::time::sleep(PARENT_INTERVAL).await;
    }
    if parent <= 1 {
        std::future::pending().await
    }
}

fn take_swept(pipes: &Pipes, executor: &Executor, shared: &Shared, capacity: u32, swept: Swept) {
    if !swept.begun.is_empty() {
        notify(pipes, "$/started", &swept.begun);
    }
    let is_stuck = 2 * swept.overrunning > capacity as usize;
    if is_stuck && shared.gateway_drains.load(Ordering::Acquire) && !shared.draining.swap(true, Ordering::AcqRel) {
        // Threads cannot be ended. Before they pile up another process takes over.
        eprintln!(
            "flowspan: {} threads are held by components that run on after their time-out; asking for a new process",
            swept.overrunning
        );
        notify(pipes, "$/drain", &executor.give_back(None));
    }
}

fn notify(pipes: &Pipes, method: &str, ids: &[CallId]) {
    let ids: Vec<String> = ids.iter().map(CallId::to_string).collect();
    pipes.put(|batch| {
        batch.add_line(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"ids":[{}]}}}}"#, ids.join(",")));
    });
}

impl Connection {
    fn read_forever(mut self, mut pipe: File) {
        let mut buffer = Vec::new();
        let mut filled = 0;
        let mut discarding = false;
        loop {
            if buffer.len() < filled + READ_BYTES {
                buffer.resize((filled + READ_BYTES).max(2 * filled), 0);
            }
            let read = match pipes::read_some(&mut pipe, &mut buffer[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let fresh = filled..filled + read;
            filled += read;
            if let Some(end) = buffer[fresh].iter().rposition(|byte| *byte == b'\n').map(|at| filled - read + at + 1) {
                self.pipes.cork();
                let mut lines = buffer[..end].split(|byte| *byte == b'\n');
                if std::mem::take(&mut discarding) {
                    lines.next();
                }
                for line in lines {
                    self.take_line(line.trim_ascii());
                }
                self.pipes.uncork();
                buffer.copy_within(end..filled, 0);
                filled -= end;
                if buffer.len() > 4 * READ_BYTES && filled < READ_BYTES {
                    buffer.truncate(READ_BYTES);
                    buffer.shrink_to_fit();
                }
            } else if filled > MAX_LINE_BYTES {
                if !discarding {
                    let error = Error::new(Reason::LimitExceeded, "a line is longer than 32 MiB; it was dropped");
                    self.refuse("null", &error.with("limit", "line").with("max", MAX_LINE_BYTES));
                }
                discarding = true;
                filled = 0;
            }
        }
        self.shared.input_ended.store(true, Ordering::Release);
        self.shared.ending.notify_one();
    }

    fn take_line(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        if line[0] != b'{' && line[0] != b'[' {
            eprintln!("flowspan: ignored a line that is no message: {:.200}", String::from_utf8_lossy(line));
            return;
        }
        let message: Envelope<'_> = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => {
                let reason = if error.is_data() { Reason::InvalidRequest } else { Reason::ParseError };
                self.refuse("null", &Error::new(reason, format!("a line is no message: {error}")));
                return;
            }
        };
        let params = message.params.map_or("{}", RawValue::get);
        let params = if params == "null" { "{}" } else { params };
        match (message.method.as_deref(), message.id) {
            (Some("components/execute"), Some(id)) => self.execute(id.get(), params),
            (Some("$/execute"), None) => self.execute_many(params),
            (Some(method), Some(id)) => self.answer(id.get(), method, params),
            (Some(method), None) => self.take_notification(method, params),
            (None, Some(id)) => {
                let answer = match (message.result, message.error) {
                    (_, Some(error)) if error.get() != "null" => Err(error),
                    (Some(result), _) => Ok(result),
                    _ => return,
                };
                if let Ok(id) = id.get().parse() {
                    self.pipes.outgoing().take_answer(id, answer);
                }
            }
            (None, None) => self.refuse("null", &Error::new(Reason::InvalidRequest, "a message has neither method nor id")),
        }
    }

    fn refuse(&self, id: &str, error: &Error) {
        self.pipes.put(|batch| batch.add_error(&id, &Failure::from(error)));
    }

    fn respond(&self, id: &str, result: &Value) {
        self.pipes.put(|batch| batch.add_result(&id, &result.to_string()));
    }

    fn not_initialized() -> Error {
        Error::new(Reason::NotInitialized, "initialize comes first")
    }

    fn execute(&mut self, id: &str, params: &str) {
        if self.shared.draining.load(Ordering::Acquire) {
            notify(&self.pipes, "$/drain", &[CallId::of_json(id)]);
            return;
        }
        if !self.initialized {
            self.refuse(id, &Self::not_initialized());
            return;
        }
        let params: ExecuteParams<'_> = match serde_json::from_str(params) {
            Ok(params) => params,
            Err(error) => {
                self.refuse(id, &Error::new(Reason::InvalidArgument, format!("components/execute: {error}")));
                return;
            }
        };
        let Some(found) = self.executor.registry.find(&params.component) else {
            self.pipes.put(|batch| batch.add_error(&id, &Failure::no_component(&params.component)));
            return;
        };
        let origin: Origin = params.observability.as_ref().and_then(|raw| raw.decode().ok()).unwrap_or_default();
        let item_index = params.item_index.or(origin.item_index);
        let said = Said {
            task_token: params.task_token,
            idempotency_token: params.idempotency_token,
            observability: params.observability,
        };
        let execution = Execution::new(
            CallId::of_json(id),
            found,
            bytes_of(params.input),
            Arc::new(origin),
            Some(Box::new(said)),
            item_index,
            params.attempt.unwrap_or(1),
            milliseconds(params.timeout_ms),
            false,
        );
        self.executor.begin(vec![execution]);
    }

    fn execute_many(&mut self, params: &str) {
        let many: ExecuteMany<'_> = match serde_json::from_str(params) {
            Ok(many) => many,
            Err(error) => {
                eprintln!("flowspan: $/execute cannot be read, and nobody could say which executions are lost: {error}");
                self.pipes.ended.notify_one();
                return;
            }
        };
        if self.shared.draining.load(Ordering::Acquire) {
            let ids: Vec<CallId> = many.calls.iter().map(|call| CallId::Number(call.0)).collect();
            notify(&self.pipes, "$/drain", &ids);
            return;
        }
        let refusal = match (self.initialized, self.executor.registry.find(&many.component)) {
            (false, _) => Failure::from(&Self::not_initialized()),
            (_, None) => Failure::no_component(&many.component),
            (true, Some(found)) => {
                let origin = Origin { span_prefix: many.span_prefix, token_prefix: many.token_prefix, ..many.observability };
                let (origin, timeout) = (Arc::new(origin), milliseconds(many.timeout_ms));
                let execution = |&(number, item_index, attempt, input): &(u64, u64, u32, &RawValue)| {
                    let found = Found { component: found.component.clone(), parameters: found.parameters.clone() };
                    let (id, input) = (CallId::Number(number), bytes_of(Some(input)));
                    Execution::new(id, found, input, origin.clone(), None, Some(item_index), attempt, timeout, true)
                };
                self.executor.begin(many.calls.iter().map(execution).collect());
                return;
            }
        };
        self.pipes.put(|batch| many.calls.iter().for_each(|call| batch.add_bulk_failure(call.0, &refusal)));
    }

    fn answer(&mut self, id: &str, method: &str, params: &str) {
        let result = match method {
            "initialize" => self.initialize(params),
            "ping" | "shutdown" => Ok(json!({})),
            "$/cancel" => {
                // Its answer is put together here: ids keep their spelling.
                match serde_json::from_str::<Ids<'_>>(params) {
                    Ok(ids) => self.cancel(id, &ids.ids),
                    Err(error) => self.refuse(id, &Error::new(Reason::InvalidArgument, format!("$/cancel: {error}"))),
                }
                return;
            }
            "components/list" | "components/info" if !self.initialized => Err(Self::not_initialized()),
            "components/list" => {
                let components = self.executor.registry.all().iter().map(|component| info(component));
                Ok(json!({"components": components.collect::<Vec<_>>()}))
            }
            "components/info" => self.info(params),
            _ => Err(Error::new(Reason::MethodNotFound, format!("there is no method {method:.200?}"))),
        };
        match result {
            Ok(result) => self.respond(id, &result),
            Err(error) => self.refuse(id, &error),
        }
        if method == "shutdown" {
            self.shared.shutting_down.store(true, Ordering::Release);
            self.shared.ending.notify_one();
        }
    }

    fn info(&self, params: &str) -> Result<Value> {
        let named: Named<'_> = serde_json::from_str(params)
            .map_err(|error| Error::new(Reason::InvalidArgument, format!("components/info: {error}")))?;
        match self.executor.registry.find(&named.component) {
            Some(found) => Ok(json!({"info": info(&found.component)})),
            None => Err(Error::new(Reason::ComponentNotFound, format!("there is no component {:.200?} here", named.component))),
        }
    }

    fn initialize(&mut self, params: &str) -> Result<Value> {
        let asked: InitializeParams =
            serde_json::from_str(params).map_err(|error| Error::new(Reason::InvalidArgument, format!("initialize: {error}")))?;
        let offered: Vec<u64> =
            [asked.runtime_protocol_version, asked.snake_version].into_iter().flatten().chain(asked.protocol_versions).collect();
        if !offered.is_empty() && !offered.contains(&PROTOCOL_VERSION) {
            let message = format!(
                "the gateway speaks protocol versions {offered:?}, this server speaks {PROTOCOL_VERSION}: update the older one"
            );
            let error = Error::new(Reason::ResourceUnavailable, message);
            return Err(error.with("gatewayVersions", offered).with("serverVersions", vec![PROTOCOL_VERSION]));
        }
        self.initialized = true;
        self.shared.gateway_drains.store(asked.capabilities["drain"] == true, Ordering::Release);
        Ok(json!({
            "serverProtocolVersion": PROTOCOL_VERSION,
            "server_protocol_version": PROTOCOL_VERSION,
            "serverInfo": {"name": "flowspan-rust", "version": crate::VERSION},
            "capabilities": {
                "capacity": self.capacity,
                "cancelAck": true,
                "timeouts": true,
                "reentrant": true,
                "ping": true,
                "shutdown": true,
                "started": true,
                "progress": true,
                "watch": true,
                "derivesTokens": true,
                "bulk": true,
            },
        }))
    }

    fn cancel(&self, id: &str, ids: &[&RawValue]) {
        let ids: Vec<CallId> = ids.iter().map(|id| CallId::of_json(id.get())).collect();
        let (dropped, running) = self.executor.cancel_and_answer(&ids);
        let list = |ids: &[CallId]| ids.iter().map(CallId::to_string).collect::<Vec<_>>().join(",");
        let result = format!(r#"{{"dropped":[{}],"running":[{}]}}"#, list(&dropped), list(&running));
        self.pipes.put(|batch| batch.add_result(&id, &result));
    }

    fn take_notification(&self, method: &str, params: &str) {
        match method {
            "runs/event" => self.pipes.outgoing().take_event(params),
            "$/cancelRequest" => match serde_json::from_str::<OneId<'_>>(params) {
                Ok(one) => drop(self.executor.cancel_and_answer(&[CallId::of_json(one.id.get())])),
                Err(_) => eprintln!("flowspan: ignored a $/cancelRequest without a usable id"),
            },
            _ => {}
        }
    }
}

fn bytes_of(input: Option<&RawValue>) -> Bytes {
    Bytes::copy_from_slice(input.map_or("null", RawValue::get).as_bytes())
}

fn milliseconds(bound: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(bound? / 1000.0).ok()
}

fn info(component: &Component) -> Value {
    let mut info = json!({"component": component.name, "name": component.name});
    for (name, schema) in [("input_schema", &component.input_schema), ("output_schema", &component.output_schema)] {
        if let Some(schema) = schema {
            info[name] = schema.clone();
        }
    }
    if let Some(description) = &component.description {
        info["description"] = description.clone().into();
    }
    info
}

#[cfg(test)]
mod tests;
