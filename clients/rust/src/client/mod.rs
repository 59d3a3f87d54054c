//! The client: values in, typed results out, resumed and repeated by itself.

mod channel;
mod pages;
mod resuming;
mod submission;
mod tree_watch;
mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_stream::StreamExt;

use crate::discovery::find_target;
use crate::error::{Error, Reason, Result};
use crate::json;
use crate::retry::{RetryPolicy, new_id};
use crate::v1;
use crate::view::{ItemResult, Outcome, ResultOrder, RunState, RunStatus, blob_or_json, in_order};

pub(crate) use channel::Connection;
pub use pages::Pages;
pub use submission::{BlobRef, FlowDocument, IntoInput, SubmitOptions};
pub use tree_watch::{TreeNews, TreeWatch};
pub use watch::{Watch, WatchOptions};

use channel::{Tls, in_time};
use submission::{Encoded, MESSAGE_BYTES, UNARY_MAX_INPUTS, encode_inputs, size_of};

/// A larger blob is streamed; the gateway takes at most 3.5 MiB in one message.
const UNARY_BLOB_BYTES: usize = 3 * 1024 * 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const ITEMS_PAGE: i32 = 10_000;

/// How to reach a gateway.
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    target: Option<String>,
    token: Option<String>,
    timeout: Option<Duration>,
    retry: RetryPolicy,
    tls: Option<Tls>,
}

impl ClientBuilder {
    /// `unix:PATH` or `HOST:PORT`; without it: `FLOWSPAN_TARGET`, else the gateway that runs on this machine.
    pub fn target(mut self, target: impl Into<String>) -> ClientBuilder {
        self.target = Some(target.into());
        self
    }

    /// Without it: `FLOWSPAN_TOKEN`, else the one of the gateway that was found.
    pub fn token(mut self, token: impl Into<String>) -> ClientBuilder {
        self.token = Some(token.into());
        self
    }

    /// Bound of each unary call with its retries; default 10 s. Watches are bounded by [`RetryPolicy::give_up_after`].
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeout = Some(timeout);
        self
    }

    /// How often lost calls and streams are repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> ClientBuilder {
        self.retry = policy;
        self
    }

    /// TLS against the roots of the system, or against `roots` in PEM. Needs the feature `tls`.
    pub fn tls(mut self, roots: Option<Vec<u8>>) -> ClientBuilder {
        self.tls = Some(Tls { roots });
        self
    }

    /// The client. Connects with the first call; to be called inside a tokio runtime.
    pub fn build(self) -> Result<Client> {
        let (target, token) = find_target(self.target, self.token)?;
        let timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Client { connection: Arc::new(Connection::new(target, token, self.tls, timeout, self.retry)?) })
    }
}

/// A client of one gateway. Clones share its connections, which end with the last of them.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobType {
    /// A JSON value.
    Data,
    /// A flow document.
    Flow,
    /// Any bytes.
    Binary,
}

impl BlobType {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            BlobType::Data => "data",
            BlobType::Flow => "flow",
            BlobType::Binary => "binary",
        }
    }

    fn number(self) -> i32 {
        match self {
            BlobType::Data => v1::BlobType::Data as i32,
            BlobType::Flow => v1::BlobType::Flow as i32,
            BlobType::Binary => v1::BlobType::Binary as i32,
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn from_word(word: &str) -> BlobType {
        match word {
            "flow" => BlobType::Flow,
            "binary" => BlobType::Binary,
            _ => BlobType::Data,
        }
    }
}

/// A blob as it was first put.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Blob {
    /// What the bytes are.
    pub blob_type: BlobType,
    /// The bytes.
    pub data: Bytes,
}

/// One finding about a flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Name of the kind, such as `duplicateStepId`.
    pub kind: String,
    /// Number of the kind.
    pub code: u32,
    /// `warning`, `error` or `fatal`.
    pub level: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
    /// JSON pointer into the document.
    pub path: String,
    /// From 1; 0: not known.
    pub line: u32,
    /// From 1; 0: not known.
    pub column: u32,
}

/// A stored flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Flow {
    /// Its id.
    pub flow_id: String,
    /// Its name, if it has one.
    pub flow_name: Option<String>,
    /// Its document, as stored; empty in a list.
    pub json: Bytes,
}

/// A component that flows can name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// As flows write it.
    pub path: String,
    /// The plugin that offers it.
    pub plugin: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its input, if known.
    pub input_schema: Option<Value>,
    /// JSON Schema of its output, if known.
    pub output_schema: Option<Value>,
}

/// A configured plugin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plugin {
    /// Its name in the configuration.
    pub name: String,
    /// `stdio`, `worker`, `builtin`, …
    pub kind: String,
    /// `starting`, `up`, `backingOff`, `circuitOpen` or `broken`.
    pub health: &'static str,
    /// What is wrong, if something is.
    pub detail: String,
    /// How often a process of it was started again.
    pub restarts: u32,
    /// Executions that it takes at once; 0: not known yet.
    pub capacity: u32,
    /// Executions that it holds.
    pub in_flight: u32,
    /// Its last lines on stderr.
    pub stderr_tail: Vec<String>,
}

/// All components, by path, and the plugins that offer them, by name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentList {
    /// By path.
    pub components: Vec<Component>,
    /// By name.
    pub plugins: Vec<Plugin>,
}

/// Which runs to list; nothing said: all.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    request: v1::ListRunsRequest,
}

impl RunFilter {
    /// All runs.
    pub fn new() -> RunFilter {
        RunFilter::default()
    }

    /// Any of these statuses.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = RunState>) -> RunFilter {
        self.request.statuses = statuses.into_iter().map(RunState::number).collect();
        self
    }

    /// Runs of this flow.
    pub fn flow_id(mut self, flow_id: impl Into<String>) -> RunFilter {
        self.request.flow_id = flow_id.into();
        self
    }

    /// Runs with this label.
    pub fn flow_label(mut self, label: impl Into<String>) -> RunFilter {
        self.request.flow_label = label.into();
        self
    }

    /// Runs with this piece of metadata; all that are given must fit.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> RunFilter {
        self.request.metadata.insert(name.into(), value.into());
        self
    }

    /// Runs that were accepted at or after this moment.
    pub fn created_after(mut self, moment: SystemTime) -> RunFilter {
        self.request.created_after = Some(moment.into());
        self
    }

    /// Runs that were accepted before this moment.
    pub fn created_before(mut self, moment: SystemTime) -> RunFilter {
        self.request.created_before = Some(moment.into());
        self
    }

    /// Sub-runs of this run.
    pub fn parent_run_id(mut self, run_id: impl Into<String>) -> RunFilter {
        self.request.parent_run_id = run_id.into();
        self
    }

    /// Runs of this tree.
    pub fn root_run_id(mut self, run_id: impl Into<String>) -> RunFilter {
        self.request.root_run_id = run_id.into();
        self
    }

    /// How many are asked for at once; without it the gateway chooses.
    pub fn page_size(mut self, runs: u32) -> RunFilter {
        self.request.page_size = i32::try_from(runs).unwrap_or(i32::MAX);
        self
    }
}

/// Which results to list; nothing said: all that there are, by index.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    request: v1::ListRunItemsRequest,
}

impl ItemFilter {
    /// All that have ended.
    pub fn new() -> ItemFilter {
        ItemFilter::default()
    }

    /// Only items that ended in one of these ways.
    pub fn outcomes(mut self, outcomes: impl IntoIterator<Item = Outcome>) -> ItemFilter {
        self.request.outcomes = outcomes.into_iter().map(Outcome::number).collect();
        self
    }

    /// Their order.
    pub fn order(mut self, order: ResultOrder) -> ItemFilter {
        self.request.result_order = order.number();
        self
    }

    /// Only items behind this index, by index.
    pub fn after_item_index(mut self, index: u64) -> ItemFilter {
        self.request.after_item_index = Some(index);
        self
    }

    /// With retries of this run: the newest result of each item.
    pub fn merged(mut self) -> ItemFilter {
        self.request.merged = true;
        self
    }

    /// How many are asked for at once.
    pub fn page_size(mut self, items: u32) -> ItemFilter {
        self.request.page_size = i32::try_from(items).unwrap_or(i32::MAX);
        self
    }
}

/// Which items of a finished run to run again; nothing said: all that failed or were cancelled.
#[derive(Clone, Debug, Default)]
pub struct RetryOptions {
    request: v1::RetryRunRequest,
}

impl RetryOptions {
    /// What failed or was cancelled.
    pub fn new() -> RetryOptions {
        RetryOptions::default()
    }

    /// These items.
    pub fn item_indexes(mut self, indexes: impl IntoIterator<Item = u64>) -> RetryOptions {
        self.request.item_indexes = indexes.into_iter().collect();
        self
    }

    /// As for a submit; default: as the source run.
    pub fn max_concurrency(mut self, items: i64) -> RetryOptions {
        self.request.max_concurrency = Some(items);
        self
    }

    /// As for a submit.
    pub fn request_id(mut self, id: impl Into<String>) -> RetryOptions {
        self.request.request_id = id.into();
        self
    }
}

macro_rules! unary {
    ($client:expr, $service:ident.$method:ident, $request:expr) => {
        $client
            .connection
            .unary($request, |request| {
                let mut stub = $client.connection.$service();
                async move { stub.$method(request).await }
            })
            .await
    };
}

impl Client {
    /// The gateway of the environment, or the one that runs on this machine; to be called inside a tokio runtime.
    pub fn new() -> Result<Client> {
        Client::builder().build()
    }

    /// Another gateway, other bounds.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// `unix:PATH` or `HOST:PORT`.
    pub fn target(&self) -> &str {
        &self.connection.target
    }

    /// This client over the same connections, with another bound of each unary call.
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        Client { connection: Arc::new(self.connection.with_timeout(timeout)) }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.connection.policy
    }

    /// A generated stub over this client's connection, for what has no method here. Its messages are in [`crate::v1`].
    pub fn raw_runs(&self) -> v1::run_service_client::RunServiceClient<tonic::transport::Channel> {
        self.connection.runs()
    }

    /// A message with this client's token, for the raw stubs.
    pub fn request<Q>(&self, message: Q) -> tonic::Request<Q> {
        self.connection.request(message)
    }

    // Flows

    /// Store a flow; its id.
    pub async fn store_flow(&self, flow: impl Into<FlowDocument>) -> Result<String> {
        Ok(unary!(self, flows.store_flow, flow.into().request())?.flow_id)
    }

    /// What the gateway finds about a flow, fatal findings included. Nothing is stored.
    pub async fn check_flow(&self, flow: impl Into<FlowDocument>) -> Result<Vec<Diagnostic>> {
        let request = v1::StoreFlowRequest { dry_run: true, ..flow.into().request() };
        let found = unary!(self, flows.store_flow, request)?.diagnostics;
        let diagnostic = |one: v1::Diagnostic| Diagnostic {
            level: match one.level() {
                v1::DiagnosticLevel::Fatal => "fatal",
                v1::DiagnosticLevel::Error => "error",
                _ => "warning",
            },
            kind: one.kind,
            code: one.code,
            message: one.message,
            path: one.path,
            line: one.line,
            column: one.column,
        };
        Ok(found.into_iter().map(diagnostic).collect())
    }

    /// A stored flow.
    pub async fn get_flow(&self, flow_id: &str) -> Result<Flow> {
        let answer = unary!(self, flows.get_flow, v1::GetFlowRequest { flow_id: flow_id.to_owned() })?;
        Ok(Flow { flow_id: answer.flow_id, flow_name: answer.flow_name, json: self.json_of(answer.document).await? })
    }

    /// Stored flows, newest first, without their documents.
    pub fn list_flows(&self) -> Pages<Flow> {
        let client = self.clone();
        Pages::new(move |page_token| {
            let client = client.clone();
            async move {
                let answer = unary!(client, flows.list_flows, v1::ListFlowsRequest { page_size: 0, page_token })?;
                let flow = |flow: v1::FlowSummary| Flow { flow_id: flow.flow_id, flow_name: flow.flow_name, json: Bytes::new() };
                Ok((answer.flows.into_iter().map(flow).collect(), answer.next_page_token))
            }
        })
    }

    /// Delete a flow that no run refers to. Never repeated by itself: a second answer could not tell what the first did.
    pub async fn delete_flow(&self, flow_id: &str) -> Result<()> {
        let connection = &self.connection;
        let request = v1::DeleteFlowRequest { flow_id: flow_id.to_owned() };
        let call = |request| {
            let mut stub = connection.flows();
            async move { stub.delete_flow(request).await }
        };
        connection.unary_once(request, call).await.map(|_| ())
    }

    // Runs

    /// Submit a run; when this returns, the run and all its inputs are durable. One value per item; many are streamed.
    pub async fn submit<I>(&self, flow: impl Into<FlowDocument>, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        let encoded = encode_inputs(inputs)?;
        let header = options.header(self.flow_id(flow.into()).await?)?;
        match encoded {
            Encoded::Whole(inputs) => {
                let request = v1::SubmitRunRequest { options: Some(header), inputs };
                RunStatus::of_answer(unary!(self, runs.submit_run, request)?.run)
            }
            Encoded::Streamed(chunks) => self.submit_chunks(header, chunks).await,
        }
    }

    /// Submit a run whose inputs come as a stream, of any number, in bounded memory. Not repeated by itself where the connection
    /// is lost, since the stream is used up; with a `request_id` of yours it may be repeated by you.
    pub async fn submit_stream<S>(&self, flow: impl Into<FlowDocument>, inputs: S, options: SubmitOptions) -> Result<RunStatus>
    where
        S: Stream + Send + 'static,
        S::Item: IntoInput,
    {
        let header = options.header(self.flow_id(flow.into()).await?)?;
        let (sent_all, was_sent) = tokio::sync::oneshot::channel::<()>();
        let (failed, failure) = tokio::sync::oneshot::channel::<Error>();
        let messages = InputMessages {
            inputs: Box::pin(inputs.map(IntoInput::into_input)),
            header: Some(header),
            sent_all: Some(sent_all),
            failed: Some(failed),
            is_over: false,
        };
        let mut stub = self.connection.runs();
        let answer = stub.submit_run_stream(self.connection.request(messages));
        let late = async {
            // As long as inputs come there is no bound: the caller's stream may be slow.
            let _ = was_sent.await;
            tokio::time::sleep(Connection::COMMIT_TIMEOUT).await;
        };
        // An input that cannot be written drops the call: a stream that merely ended would be a run of its own.
        let failure = async {
            match failure.await {
                Ok(error) => error,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            error = failure => Err(error),
            answer = answer => RunStatus::of_answer(answer?.into_inner().run),
            () = late => Err(Error::new(Reason::Timeout, "the gateway did not answer after the last input")),
        }
    }

    /// Submit a run and follow it, in one round trip. Returns when the run was accepted.
    pub async fn submit_and_watch<I>(&self, flow: impl Into<FlowDocument>, inputs: I, options: SubmitOptions) -> Result<Watch>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        self.submit_and_watch_with(flow, inputs, options, WatchOptions::new()).await
    }

    /// As [`Client::submit_and_watch`], with an order of results or a filter.
    pub async fn submit_and_watch_with<I>(
        &self,
        flow: impl Into<FlowDocument>,
        inputs: I,
        options: SubmitOptions,
        watch: WatchOptions,
    ) -> Result<Watch>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        let encoded = encode_inputs(inputs)?;
        let header = options.header(self.flow_id(flow.into()).await?)?;
        match encoded {
            Encoded::Whole(inputs) => {
                Watch::submit(self.clone(), v1::SubmitRunRequest { options: Some(header), inputs }, watch).await
            }
            Encoded::Streamed(chunks) => Watch::follow(self.clone(), self.submit_chunks(header, chunks).await?.run_id, watch),
        }
    }

    /// Submit a run and wait for its end; the status, with results by index. Failed items are data: see
    /// [`RunStatus::error_for_failures`].
    pub async fn run<I>(&self, flow: impl Into<FlowDocument>, inputs: I, options: SubmitOptions) -> Result<RunStatus>
    where
        I: IntoIterator,
        I::Item: IntoInput,
    {
        let labels = options.item_labels.clone();
        let watch = self.submit_and_watch(flow, inputs, options).await?;
        self.collect(watch, &labels).await
    }

    pub(crate) async fn collect(&self, mut watch: Watch, labels: &[String]) -> Result<RunStatus> {
        let mut results = Vec::new();
        while let Some(batch) = watch.next_batch().await {
            results.append(&mut batch?);
        }
        for result in &mut results {
            result.item_label = usize::try_from(result.item_index).ok().and_then(|index| labels.get(index).cloned());
        }
        let mut status = match watch.status() {
            Some(status) => status.clone(),
            None => self.get_run(watch.run_id()).await?,
        };
        status.results = Some(in_order(results, ResultOrder::ByIndex));
        Ok(status)
    }

    /// Follow a run: each result once, as it becomes durable; resumes by itself. Inside a tokio runtime.
    pub fn watch(&self, run_id: &str, options: WatchOptions) -> Result<Watch> {
        Watch::follow(self.clone(), run_id.to_owned(), options)
    }

    /// Follow a run and all its sub-runs, at any depth; resumes by itself. Inside a tokio runtime.
    pub fn watch_tree(&self, run_id: &str) -> TreeWatch {
        TreeWatch::follow(self.clone(), run_id.to_owned())
    }

    /// The status at the run's end, without results; after `timeout` the status as it stands then, not an error.
    pub async fn wait(&self, run_id: &str, timeout: Option<Duration>) -> Result<RunStatus> {
        self.wait_with(run_id, timeout, WatchOptions::new()).await
    }

    pub(crate) async fn wait_with(&self, run_id: &str, timeout: Option<Duration>, options: WatchOptions) -> Result<RunStatus> {
        let status = self.get_run(run_id).await?;
        if status.is_terminal() {
            return Ok(status);
        }
        let mut watch = self.watch(run_id, options.results_only().omit_payloads().after_seq(status.as_of_seq))?;
        let end = async {
            while let Some(batch) = watch.next_batch().await {
                batch?;
            }
            Ok::<(), Error>(())
        };
        match timeout {
            None => end.await?,
            Some(timeout) => tokio::time::timeout(timeout, end).await.unwrap_or(Ok(()))?,
        }
        self.get_run(run_id).await
    }

    /// The status of a run, without results.
    pub async fn get_run(&self, run_id: &str) -> Result<RunStatus> {
        let request = v1::GetRunRequest { run_id: run_id.to_owned(), ..v1::GetRunRequest::default() };
        RunStatus::of_answer(unary!(self, runs.get_run, request)?.run)
    }

    /// The status of a run with the results of the items that have ended. What does not fit into one answer comes in pages.
    pub async fn get_run_with_results(&self, run_id: &str, order: ResultOrder) -> Result<RunStatus> {
        let request = v1::GetRunRequest {
            run_id: run_id.to_owned(),
            include_results: true,
            result_order: order.number(),
            ..v1::GetRunRequest::default()
        };
        let run = unary!(self, runs.get_run, request)?.run.unwrap_or_default();
        let mut status = RunStatus::from_message(run, true)?;
        if let Some(omitted) = status.results_omitted.take() {
            // In the order of the log the first `count` results are those of this status, however far the run is by now.
            let count = usize::try_from(omitted.count).unwrap_or(usize::MAX);
            let mut pages = self.list_run_items(run_id, ItemFilter::new().order(ResultOrder::ByCompletion));
            let mut results = Vec::new();
            while results.len() < count {
                let Some(page) = pages.next_page().await else { break };
                results.append(&mut page?);
            }
            results.truncate(count);
            if order == ResultOrder::ByIndex {
                results = in_order(results, order);
            }
            status.results = Some(results);
        } else {
            for result in status.results.iter_mut().flatten() {
                self.read_payload(result).await?;
            }
        }
        Ok(status)
    }

    /// Results of the items that have ended, in pages that read like one stream.
    pub fn list_run_items(&self, run_id: &str, filter: ItemFilter) -> Pages<ItemResult> {
        let client = self.clone();
        let mut request = v1::ListRunItemsRequest { run_id: run_id.to_owned(), ..filter.request };
        if request.page_size == 0 {
            request.page_size = ITEMS_PAGE;
        }
        Pages::new(move |page_token| {
            let (client, request) = (client.clone(), v1::ListRunItemsRequest { page_token, ..request.clone() });
            async move {
                let answer = unary!(client, runs.list_run_items, request)?;
                let mut items = answer.items.into_iter().map(ItemResult::try_from).collect::<Result<Vec<_>>>()?;
                for item in &mut items {
                    client.read_payload(item).await?;
                }
                Ok((items, answer.next_page_token))
            }
        })
    }

    /// Runs that match all that is said, newest first, without results.
    pub fn list_runs(&self, filter: RunFilter) -> Pages<RunStatus> {
        let client = self.clone();
        Pages::new(move |page_token| {
            let (client, request) = (client.clone(), v1::ListRunsRequest { page_token, ..filter.request.clone() });
            async move {
                let answer = unary!(client, runs.list_runs, request)?;
                let runs = answer.runs.into_iter().map(|run| RunStatus::from_message(run, false)).collect::<Result<_>>()?;
                Ok((runs, answer.next_page_token))
            }
        })
    }

    /// Cancel a run and its sub-runs: no item starts after this returned, those that run are told to stop.
    pub async fn cancel_run(&self, run_id: &str, reason: &str) -> Result<RunStatus> {
        let request = v1::CancelRunRequest { run_id: run_id.to_owned(), reason: reason.to_owned() };
        RunStatus::of_answer(unary!(self, runs.cancel_run, request)?.run)
    }

    /// Run items of a finished run again; the new run.
    pub async fn retry_run(&self, run_id: &str, options: RetryOptions) -> Result<RunStatus> {
        let mut request = v1::RetryRunRequest { run_id: run_id.to_owned(), ..options.request };
        if request.request_id.is_empty() {
            request.request_id = new_id();
        }
        RunStatus::of_answer(unary!(self, runs.retry_run, request)?.run)
    }

    /// Delete a finished run with its sub-runs. Never repeated by itself: a second answer could not tell what the first did.
    pub async fn delete_run(&self, run_id: &str) -> Result<()> {
        let connection = &self.connection;
        let request = v1::DeleteRunRequest { run_id: run_id.to_owned() };
        let call = |request| {
            let mut stub = connection.runs();
            async move { stub.delete_run(request).await }
        };
        connection.unary_once(request, call).await.map(|_| ())
    }

    // Blobs

    /// Store a value; its id.
    pub async fn put_blob<T: Serialize + ?Sized>(&self, value: &T) -> Result<String> {
        self.put_blob_bytes(json::encode(value)?, BlobType::Data).await
    }

    /// Store bytes of any size; their id.
    pub async fn put_blob_bytes(&self, data: impl Into<Bytes>, blob_type: BlobType) -> Result<String> {
        let data: Bytes = data.into();
        let id = |info: Option<v1::BlobInfo>| info.unwrap_or_default().blob_id;
        if data.len() <= UNARY_BLOB_BYTES {
            let request = v1::PutBlobRequest { data, blob_type: blob_type.number(), ..v1::PutBlobRequest::default() };
            return Ok(id(unary!(self, blobs.put_blob, request)?.info));
        }
        use v1::write_blob_request::Part;
        let header = v1::WriteBlobHeader { blob_type: blob_type.number(), ..v1::WriteBlobHeader::default() };
        let chunks = (0..data.len()).step_by(CHUNK_BYTES).map(|at| Part::Chunk(data.slice(at..data.len().min(at + CHUNK_BYTES))));
        let parts = std::iter::once(Part::Header(header)).chain(chunks);
        let messages = parts.map(|part| v1::WriteBlobRequest { part: Some(part) }).collect();
        let answer = self.connection.upload(messages, |request| {
            let mut stub = self.connection.blobs();
            async move { stub.write_blob(request).await }
        });
        Ok(id(answer.await?.info))
    }

    /// The value that a blob holds.
    pub async fn get_blob<T: DeserializeOwned>(&self, blob_id: &str) -> Result<T> {
        json::decode(&self.get_blob_bytes(blob_id).await?.data, "the blob")
    }

    /// The bytes first put, and what they are.
    pub async fn get_blob_bytes(&self, blob_id: &str) -> Result<Blob> {
        let connection = &self.connection;
        connection.repeated(connection.policy.max_retries, None, || self.download(blob_id)).await
    }

    async fn download(&self, blob_id: &str) -> Result<Blob> {
        use v1::read_blob_response::Part;
        let connection = &self.connection;
        let mut stub = connection.blobs();
        let request = connection.request(v1::ReadBlobRequest { blob_id: blob_id.to_owned() });
        let mut parts = in_time(connection.timeout, stub.read_blob(request)).await?;
        let mut info = None;
        let mut data = BytesMut::new();
        loop {
            let part = tokio::time::timeout(connection.timeout, parts.message()).await;
            let part = part.map_err(|_| Error::new(Reason::Timeout, "the gateway sent no more of the blob"))?;
            match part?.map(|message| message.part) {
                None => break,
                Some(Some(Part::Info(given))) => info = Some(given),
                Some(Some(Part::Chunk(chunk))) => data.extend_from_slice(&chunk),
                Some(None) => {}
            }
        }
        let info = info.ok_or_else(|| Error::unreadable("the blob", "it came without its header"))?;
        if info.size != data.len() as u64 {
            let message = format!("blob {blob_id} has {} bytes, {} came", info.size, data.len());
            return Err(Error::new(Reason::HashMismatch, message).with("blobId", blob_id));
        }
        let blob_type = match info.blob_type() {
            v1::BlobType::Flow => BlobType::Flow,
            v1::BlobType::Binary => BlobType::Binary,
            _ => BlobType::Data,
        };
        Ok(Blob { blob_type, data: data.freeze() })
    }

    // The gateway

    /// What components flows can name, and how the plugins are that offer them.
    pub async fn components(&self) -> Result<ComponentList> {
        let answer = unary!(self, components.list_components, v1::ListComponentsRequest {})?;
        let mut components = Vec::with_capacity(answer.components.len());
        for component in answer.components {
            components.push(Component {
                path: component.path,
                plugin: component.plugin,
                description: component.description,
                input_schema: self.schema(component.input_schema).await?,
                output_schema: self.schema(component.output_schema).await?,
            });
        }
        let plugin = |plugin: v1::Plugin| Plugin {
            health: match plugin.health() {
                v1::PluginHealth::Up => "up",
                v1::PluginHealth::BackingOff => "backingOff",
                v1::PluginHealth::CircuitOpen => "circuitOpen",
                v1::PluginHealth::Broken => "broken",
                v1::PluginHealth::Starting | v1::PluginHealth::Unspecified => "starting",
            },
            name: plugin.name,
            kind: plugin.r#type,
            detail: plugin.detail,
            restarts: plugin.restarts,
            capacity: plugin.capacity,
            in_flight: plugin.in_flight,
            stderr_tail: plugin.stderr_tail,
        };
        Ok(ComponentList { components, plugins: answer.plugins.into_iter().map(plugin).collect() })
    }

    /// Whether the gateway takes calls; an error if it cannot be reached.
    pub async fn health(&self) -> Result<bool> {
        let connection = &self.connection;
        let answer: channel::HealthAnswer =
            connection.unary(channel::HealthRequest {}, |request| connection.check_health(request)).await?;
        Ok(answer.is_serving())
    }

    // Within

    async fn schema(&self, schema: Option<v1::JsonValue>) -> Result<Option<Value>> {
        match schema {
            None => Ok(None),
            Some(schema) => json::decode(&self.json_of(Some(schema)).await?, "the schema").map(Some),
        }
    }

    async fn json_of(&self, value: Option<v1::JsonValue>) -> Result<Bytes> {
        match blob_or_json(value) {
            (id, true) => Ok(self.get_blob_bytes(&String::from_utf8_lossy(&id)).await?.data),
            (json, false) => Ok(json),
        }
    }

    /// Fetch the payload of a result where it is kept in a blob.
    pub(crate) async fn read_payload(&self, result: &mut ItemResult) -> Result<()> {
        if let Some(blob_id) = result.blob_id() {
            result.payload = self.get_blob_bytes(blob_id).await?.data;
            result.is_blob = false;
        }
        Ok(())
    }

    async fn flow_id(&self, flow: FlowDocument) -> Result<String> {
        match flow {
            FlowDocument::Id(id) => Ok(id),
            document => self.store_flow(document).await,
        }
    }

    async fn submit_chunks(&self, header: v1::RunOptions, chunks: Vec<Vec<v1::JsonValue>>) -> Result<RunStatus> {
        let first = v1::SubmitRunStreamRequest { options: Some(header), inputs: Vec::new() };
        let rest = chunks.into_iter().map(|inputs| v1::SubmitRunStreamRequest { options: None, inputs });
        let answer = self.connection.upload(std::iter::once(first).chain(rest).collect(), |request| {
            let mut stub = self.connection.runs();
            async move { stub.submit_run_stream(request).await }
        });
        RunStatus::of_answer(answer.await?.run)
    }
}

/// The messages of a streamed submit, made as the caller's stream goes on.
struct InputMessages {
    inputs: std::pin::Pin<Box<dyn Stream<Item = Result<v1::JsonValue>> + Send>>,
    header: Option<v1::RunOptions>,
    sent_all: Option<tokio::sync::oneshot::Sender<()>>,
    failed: Option<tokio::sync::oneshot::Sender<Error>>,
    is_over: bool,
}

impl Stream for InputMessages {
    type Item = v1::SubmitRunStreamRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<v1::SubmitRunStreamRequest>> {
        use std::task::Poll;
        if let Some(header) = self.header.take() {
            return Poll::Ready(Some(v1::SubmitRunStreamRequest { options: Some(header), inputs: Vec::new() }));
        }
        let (mut inputs, mut size) = (Vec::new(), 0);
        while !self.is_over && size < MESSAGE_BYTES && inputs.len() < UNARY_MAX_INPUTS {
            match self.inputs.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(value))) => {
                    size += size_of(&value);
                    inputs.push(value);
                }
                Poll::Ready(Some(Err(error))) => {
                    if let Some(failed) = self.failed.take() {
                        let _ = failed.send(error);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(None) => self.is_over = true,
                Poll::Pending if inputs.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if inputs.is_empty() {
            self.sent_all = None;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(v1::SubmitRunStreamRequest { options: None, inputs }))
    }
}

#[cfg(feature = "server")]
impl Client {
    /// As [`Client::submit`], for values that are encoded already.
    pub(crate) async fn submit_values(
        &self,
        flow_id: &str,
        inputs: Vec<v1::JsonValue>,
        options: SubmitOptions,
    ) -> Result<RunStatus> {
        let header = options.header(flow_id.to_owned())?;
        match submission::split(inputs) {
            Encoded::Whole(inputs) => {
                let request = v1::SubmitRunRequest { options: Some(header), inputs };
                RunStatus::of_answer(unary!(self, runs.submit_run, request)?.run)
            }
            Encoded::Streamed(chunks) => self.submit_chunks(header, chunks).await,
        }
    }

    /// As [`Client::run`], for values that are encoded already.
    pub(crate) async fn run_values(
        &self,
        flow_id: &str,
        inputs: Vec<v1::JsonValue>,
        options: SubmitOptions,
        watch: WatchOptions,
    ) -> Result<RunStatus> {
        let labels = options.item_labels.clone();
        let header = options.header(flow_id.to_owned())?;
        let watch = match submission::split(inputs) {
            Encoded::Whole(inputs) => {
                Watch::submit(self.clone(), v1::SubmitRunRequest { options: Some(header), inputs }, watch).await?
            }
            Encoded::Streamed(chunks) => Watch::follow(self.clone(), self.submit_chunks(header, chunks).await?.run_id, watch)?,
        };
        self.collect(watch, &labels).await
    }
}

#[cfg(test)]
mod tests;
