//! What a component may ask and tell while it runs.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::execution::{Execution, Wire, locked};
use super::runs::{RunWatch, Runs};
use crate::client::{Blob, BlobType, IntoInput, SubmitOptions};
use crate::error::{Error, Reason, Result};
use crate::json;
use crate::view::{ItemResult, ResultOrder, RunStatus};

/// Progress in between is dropped: watchers cannot tell more than 20 steps a second apart.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

struct Shared {
    wire: Arc<dyn Wire>,
    execution: Arc<Execution>,
    told_progress: Mutex<Option<Instant>>,
}

/// Facts of an execution, and what needs no answer; both kinds of contexts have them.
#[derive(Clone)]
pub struct Facts(Arc<Shared>);

impl Facts {
    /// From 1; rises with every repetition of this step of this item.
    pub fn attempt(&self) -> u32 {
        self.0.execution.attempt
    }

    /// Equal over all attempts of this step of this item: give it to services that recognise repetitions.
    pub fn idempotency_token(&self) -> Option<String> {
        self.0.execution.idempotency_token()
    }

    /// What links requests to this execution; sent with all of them.
    pub fn task_token(&self) -> Option<String> {
        self.0.execution.task_token()
    }

    /// The run.
    pub fn run_id(&self) -> Option<&str> {
        self.0.execution.origin.run_id.as_deref()
    }

    /// Its flow.
    pub fn flow_id(&self) -> Option<&str> {
        self.0.execution.origin.flow_id.as_deref()
    }

    /// The step.
    pub fn step_id(&self) -> Option<&str> {
        self.0.execution.origin.step_id.as_deref()
    }

    /// Which item of the run, if the gateway tells.
    pub fn item_index(&self) -> Option<u64> {
        self.0.execution.item_index
    }

    /// W3C trace context of this execution's span.
    pub fn traceparent(&self) -> Option<String> {
        self.0.execution.traceparent()
    }

    /// The part of the path that stands for `{name}` in the component's name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.execution.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether the result is not wanted any more: the run was cancelled, the time is over, or the gateway is gone.
    pub fn is_cancelled(&self) -> bool {
        self.0.execution.stop().is_some()
    }

    /// Tell watchers how far this execution is; `fraction` in 0 to 1. Never waits; at most 20 a second are sent.
    pub fn report_progress(&self, fraction: f64, message: Option<&str>) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let mut told = locked(&self.0.told_progress);
        if fraction < 1.0 && told.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        *told = Some(Instant::now());
        if !self.is_cancelled() {
            self.0.wire.progress(&self.0.execution, fraction, message);
        }
    }

    fn runs(&self) -> Runs {
        self.0.wire.runs(&self.0.execution)
    }
}

/// What an async component gets beside its input. Calls end with the execution.
#[derive(Clone)]
pub struct Context(Facts);

impl Deref for Context {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl Context {
    pub(crate) fn new(wire: Arc<dyn Wire>, execution: Arc<Execution>) -> Context {
        Context(Facts(Arc::new(Shared { wire, execution, told_progress: Mutex::new(None) })))
    }

    /// Ready when [`Facts::is_cancelled`]. A component need not ask: it is dropped where it awaits.
    pub async fn cancelled(&self) {
        self.0.0.execution.stopped().await;
    }

    /// Store a value; its id.
    pub async fn put_blob<T: Serialize + ?Sized>(&self, value: &T) -> Result<String> {
        self.put_blob_bytes(json::encode(value)?, BlobType::Data).await
    }

    /// Store bytes; their id.
    pub async fn put_blob_bytes(&self, data: impl Into<Bytes>, blob_type: BlobType) -> Result<String> {
        self.runs().put_blob(data.into(), blob_type).await
    }

    /// The value that a blob holds.
    pub async fn get_blob<T: DeserializeOwned>(&self, blob_id: &str) -> Result<T> {
        json::decode(&self.get_blob_bytes(blob_id).await?.data, "the blob")
    }

    /// What a blob holds.
    pub async fn get_blob_bytes(&self, blob_id: &str) -> Result<Blob> {
        self.runs().get_blob(blob_id).await
    }

    /// Run a stored flow over `inputs` as a sub-run of this execution; returns when the run is durable.
    pub async fn submit_run<I>(&self, flow_id: &str, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        self.runs().submit(flow_id, encoded(inputs)?, options).await
    }

    /// Run a stored flow over `inputs` as a sub-run and wait for its end; the status, with results by index. Waiting takes no slot
    /// and no time. A run that fails is a status, not an error.
    pub async fn run<I>(&self, flow_id: &str, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        let inputs = encoded(inputs)?;
        let _waiting = self.0.0.execution.waiting();
        self.runs().run(flow_id, inputs, options).await
    }

    /// The status of a run, without results.
    pub async fn get_run(&self, run_id: &str) -> Result<RunStatus> {
        self.runs().get(run_id, None).await
    }

    /// The status of a run, with the results of the items that have ended.
    pub async fn get_run_with_results(&self, run_id: &str, order: ResultOrder) -> Result<RunStatus> {
        self.runs().get(run_id, Some(order)).await
    }

    /// The status at the run's end, with results by index; after `timeout` the status as it stands then.
    pub async fn wait_run(&self, run_id: &str, timeout: Option<Duration>) -> Result<RunStatus> {
        let _waiting = self.0.0.execution.waiting();
        self.runs().wait(run_id, timeout).await
    }

    /// Follow a run behind a cursor (0: from its beginning): item results as they complete, as a stream.
    pub fn watch_run(&self, run_id: &str, after_seq: u64) -> Result<RunWatch> {
        let waiting = self.0.0.execution.waiting();
        self.runs().watch(run_id, after_seq, waiting)
    }

    /// Cancel a run and its sub-runs; durable when this returns.
    pub async fn cancel_run(&self, run_id: &str, reason: &str) -> Result<()> {
        self.runs().cancel(run_id, reason).await
    }
}

fn encoded<I>(inputs: I) -> Result<Vec<crate::v1::JsonValue>>
where
    I: IntoIterator,
    I::Item: IntoInput,
{
    inputs.into_iter().map(IntoInput::into_input).collect()
}

/// What a blocking component gets beside its input: the calls of [`Context`], which block this thread only.
#[derive(Clone)]
pub struct BlockingContext {
    context: Context,
    runtime: Handle,
}

impl Deref for BlockingContext {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.context.0
    }
}

impl BlockingContext {
    pub(crate) fn new(wire: Arc<dyn Wire>, execution: Arc<Execution>, runtime: Handle) -> BlockingContext {
        BlockingContext { context: Context::new(wire, execution), runtime }
    }

    fn wait<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                answer = call => answer,
                () = self.context.cancelled() => Err(Error::new(Reason::RequestCancelled, "the execution has ended")),
            }
        })
    }

    /// For long loops: an error once [`Facts::is_cancelled`].
    pub fn check_cancelled(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::new(Reason::RequestCancelled, "the execution has ended")) } else { Ok(()) }
    }

    /// See [`Context::put_blob`].
    pub fn put_blob<T: Serialize + ?Sized>(&self, value: &T) -> Result<String> {
        self.wait(self.context.put_blob(value))
    }

    /// See [`Context::put_blob_bytes`].
    pub fn put_blob_bytes(&self, data: impl Into<Bytes>, blob_type: BlobType) -> Result<String> {
        self.wait(self.context.put_blob_bytes(data, blob_type))
    }

    /// See [`Context::get_blob`].
    pub fn get_blob<T: DeserializeOwned>(&self, blob_id: &str) -> Result<T> {
        self.wait(self.context.get_blob(blob_id))
    }

    /// See [`Context::get_blob_bytes`].
    pub fn get_blob_bytes(&self, blob_id: &str) -> Result<Blob> {
        self.wait(self.context.get_blob_bytes(blob_id))
    }

    /// See [`Context::submit_run`].
    pub fn submit_run<I>(&self, flow_id: &str, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        self.wait(self.context.submit_run(flow_id, inputs, options))
    }

    /// See [`Context::run`].
    pub fn run<I>(&self, flow_id: &str, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        self.wait(self.context.run(flow_id, inputs, options))
    }

    /// See [`Context::get_run`].
    pub fn get_run(&self, run_id: &str) -> Result<RunStatus> {
        self.wait(self.context.get_run(run_id))
    }

    /// See [`Context::get_run_with_results`].
    pub fn get_run_with_results(&self, run_id: &str, order: ResultOrder) -> Result<RunStatus> {
        self.wait(self.context.get_run_with_results(run_id, order))
    }

    /// See [`Context::wait_run`].
    pub fn wait_run(&self, run_id: &str, timeout: Option<Duration>) -> Result<RunStatus> {
        self.wait(self.context.wait_run(run_id, timeout))
    }

    /// Item results of a run as they complete, as an iterator.
    pub fn watch_run(&self, run_id: &str, after_seq: u64) -> Result<BlockingWatch> {
        let watch = {
            let _runtime = self.runtime.enter();
            self.context.watch_run(run_id, after_seq)?
        };
        Ok(BlockingWatch { watch, context: self.clone() })
    }

    /// See [`Context::cancel_run`].
    pub fn cancel_run(&self, run_id: &str, reason: &str) -> Result<()> {
        self.wait(self.context.cancel_run(run_id, reason))
    }
}

/// Item results of a run as they complete; an iterator that ends with the run.
pub struct BlockingWatch {
    watch: RunWatch,
    context: BlockingContext,
}

impl BlockingWatch {
    /// As [`RunWatch::cursor`].
    pub fn cursor(&self) -> u64 {
        self.watch.cursor()
    }

    /// As [`RunWatch::status`].
    pub fn status(&self) -> Option<&RunStatus> {
        self.watch.status()
    }
}

impl Iterator for BlockingWatch {
    type Item = Result<ItemResult>;

    fn next(&mut self) -> Option<Result<ItemResult>> {
        let (watch, context) = (&mut self.watch, &self.context);
        context.wait(async { watch.next().await.transpose() }).transpose()
    }
}
