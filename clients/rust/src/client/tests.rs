//! The client against a small gateway that misbehaves on purpose.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::v1::run_service_server::{RunService, RunServiceServer};
use crate::v1::{EventHeader, EventKind, Segment};

/// What the gateway was asked, and how it is to answer.
#[derive(Default)]
struct Script {
    /// Calls that fail before one succeeds.
    failures: u32,
    /// Events of one watch before its stream breaks.
    events_per_stream: usize,
    submits: Vec<v1::RunOptions>,
    streamed: usize,
    watched_after: Vec<u64>,
}

#[derive(Clone, Default)]
struct Gateway(Arc<Mutex<Script>>);

const TOTAL: u64 = 20;

fn header(kind: EventKind) -> EventHeader {
    EventHeader { kind: kind as i32, ..EventHeader::default() }
}

/// The log of a run of `TOTAL` items, which ended from the last to the first.
fn log(run_id: &str) -> Vec<(EventHeader, Bytes)> {
    let accepted = format!(r#"{{"runId":"{run_id}","flowId":"f","total":{TOTAL},"maxConcurrency":10,"rootRunId":"r"}}"#);
    let mut events = vec![(header(EventKind::RunAccepted), accepted.into())];
    events.push((EventHeader { item_count: TOTAL, ..header(EventKind::ItemsStarted) }, Bytes::new()));
    for index in (0..TOTAL).rev() {
        let done = EventHeader { item_index: index, outcome: 1, ..header(EventKind::ItemCompleted) };
        events.push((done, index.to_string().into()));
    }
    events.push((EventHeader { run_status: RunState::Success.number(), ..header(EventKind::RunCompleted) }, Bytes::new()));
    events
}

fn status(state: RunState) -> v1::RunStatus {
    v1::RunStatus { run_id: "r".to_owned(), status: state.number(), as_of_seq: TOTAL + 3, ..v1::RunStatus::default() }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Gateway {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn may_fail(&self) -> Result<(), Status> {
        let mut script = self.script();
        if script.failures > 0 {
            script.failures -= 1;
            return Err(Status::unavailable("not yet"));
        }
        Ok(())
    }

    /// Messages behind a cursor, each with an event that was seen before, until the stream breaks.
    fn messages(&self, run_id: &str, after_seq: u64) -> Vec<Result<v1::WatchRunResponse, Status>> {
        let events = log(run_id);
        let after = usize::try_from(after_seq).unwrap();
        let per_stream = self.script().events_per_stream;
        let mut messages = Vec::new();
        for at in (after..events.len()).take(per_stream) {
            let first = at.saturating_sub(1);
            let (headers, payloads) = events[first..=at].iter().cloned().unzip();
            let segment = Segment { first_seq: first as u64 + 1, recorded_at: None, headers, payloads };
            messages.push(Ok(v1::WatchRunResponse {
                segments: vec![segment],
                through_seq: at as u64 + 1,
                run_id: run_id.to_owned(),
            }));
        }
        if after + per_stream < events.len() {
            messages.push(Err(Status::unavailable("cut")));
        }
        messages
    }
}

#[tonic::async_trait]
impl RunService for Gateway {
    type WatchRunStream = Answers<v1::WatchRunResponse>;
    type SubmitAndWatchRunStream = Answers<v1::SubmitAndWatchRunResponse>;

    async fn submit_run(&self, request: Request<v1::SubmitRunRequest>) -> Result<Response<v1::SubmitRunResponse>, Status> {
        self.script().submits.push(request.into_inner().options.unwrap());
        self.may_fail()?;
        Ok(Response::new(v1::SubmitRunResponse { run: Some(status(RunState::Running)) }))
    }

    async fn submit_run_stream(
        &self,
        request: Request<Streaming<v1::SubmitRunStreamRequest>>,
    ) -> Result<Response<v1::SubmitRunStreamResponse>, Status> {
        let mut messages = request.into_inner();
        let mut count = 0;
        while let Some(message) = messages.message().await? {
            count += message.inputs.len();
        }
        self.script().streamed = count;
        self.may_fail()?;
        Ok(Response::new(v1::SubmitRunStreamResponse { run: Some(status(RunState::Running)) }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let request = request.into_inner();
        let after_seq = request.after_seq;
        self.script().watched_after.push(after_seq);
        if request.options.is_some_and(|options| options.whole_tree) {
            let child_after = request.tree_after_seq.get("child").copied().unwrap_or(0);
            // The child's news first; the stream breaks where that of one of them does.
            let mut messages = self.messages("child", child_after);
            let is_cut = messages.iter().any(Result::is_err);
            messages.retain(Result::is_ok);
            messages.extend(self.messages("r", after_seq).into_iter().filter(|message| message.is_ok() || !is_cut));
            if is_cut {
                messages.push(Err(Status::unavailable("cut")));
            }
            return Ok(Response::new(Box::pin(tokio_stream::iter(messages))));
        }
        self.may_fail()?;
        Ok(Response::new(Box::pin(tokio_stream::iter(self.messages("r", after_seq)))))
    }

    async fn submit_and_watch_run(
        &self,
        request: Request<v1::SubmitAndWatchRunRequest>,
    ) -> Result<Response<Self::SubmitAndWatchRunStream>, Status> {
        self.script().submits.push(request.into_inner().run.unwrap().options.unwrap());
        self.may_fail()?;
        let first = v1::SubmitAndWatchRunResponse { run: Some(status(RunState::Running)), ..Default::default() };
        let rest = self.messages("r", 0).into_iter().map(|message| {
            message.map(|message| v1::SubmitAndWatchRunResponse {
                segments: message.segments,
                through_seq: message.through_seq,
                ..Default::default()
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(std::iter::once(Ok(first)).chain(rest).collect::<Vec<_>>()))))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let request = request.into_inner();
        if request.run_id == "slow" {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let mut run = status(RunState::Success);
        if request.include_results {
            run.results_omitted = Some(v1::ResultsOmitted { count: 3, ..Default::default() });
        }
        Ok(Response::new(v1::GetRunResponse { run: Some(run) }))
    }

    async fn list_runs(&self, _: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_run_items(
        &self,
        request: Request<v1::ListRunItemsRequest>,
    ) -> Result<Response<v1::ListRunItemsResponse>, Status> {
        let page = |index: u64, next: &str| {
            let result = v1::FlowResult { outcome: 1, value: Some(json_value(&index.to_string())), ..Default::default() };
            let item = v1::ItemResult { item_index: index, result: Some(result), ..Default::default() };
            Ok(Response::new(v1::ListRunItemsResponse { items: vec![item], next_page_token: next.to_owned() }))
        };
        match request.into_inner().page_token.as_str() {
            "" => page(2, "a"),
            "a" => page(0, "b"),
            "b" => page(1, "c"),
            // It was not finished when the status was made.
            _ => page(3, ""),
        }
    }

    async fn cancel_run(&self, _: Request<v1::CancelRunRequest>) -> Result<Response<v1::CancelRunResponse>, Status> {
        Err(Status::failed_precondition("it has ended"))
    }

    async fn retry_run(&self, _: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_run(&self, _: Request<v1::DeleteRunRequest>) -> Result<Response<v1::DeleteRunResponse>, Status> {
        self.may_fail()?;
        Ok(Response::new(v1::DeleteRunResponse {}))
    }
}

fn json_value(text: &str) -> v1::JsonValue {
    v1::JsonValue { kind: Some(v1::json_value::Kind::Json(text.to_owned().into())) }
}

async fn gateway(script: Script) -> (Client, Gateway) {
    let gateway = Gateway(Arc::new(Mutex::new(script)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let service = RunServiceServer::new(gateway.clone());
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    let retry = RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
    (Client::builder().target(target).token("t").retry(retry).build().unwrap(), gateway)
}

async fn indexes(watch: &mut Watch) -> Vec<u64> {
    let mut indexes = Vec::new();
    while let Some(result) = watch.next().await {
        indexes.push(result.unwrap().item_index);
    }
    indexes
}

#[tokio::test]
async fn a_watch_over_many_cuts_has_no_gap_and_no_repetition() {
    for events_per_stream in [1, 2, 3, 7, 100] {
        let (client, gateway) = gateway(Script { events_per_stream, ..Script::default() }).await;
        let mut watch = client.watch("r", WatchOptions::new()).unwrap();
        assert_eq!(indexes(&mut watch).await, (0..TOTAL).rev().collect::<Vec<_>>());
        let status = watch.status().unwrap();
        assert_eq!((status.status, status.items.success, watch.cursor()), (RunState::Success, TOTAL, TOTAL + 3));
        let asked = gateway.script().watched_after.clone();
        assert!(asked.windows(2).all(|pair| pair[0] < pair[1]), "{asked:?}");
    }
}

#[tokio::test]
async fn a_cursor_hands_out_what_was_not_handed_out() {
    for order in [ResultOrder::ByCompletion, ResultOrder::ByIndex] {
        for taken in 0..TOTAL {
            let (client, _) = gateway(Script { events_per_stream: 100, ..Script::default() }).await;
            let mut watch = client.watch("r", WatchOptions::new().order(order)).unwrap();
            let mut seen = Vec::new();
            for _ in 0..taken {
                seen.push(watch.next().await.unwrap().unwrap().item_index);
            }
            let mut rest = client.watch("r", WatchOptions::new().after_seq(watch.cursor())).unwrap();
            seen.extend(indexes(&mut rest).await);
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, (0..TOTAL).collect::<Vec<_>>(), "{order} {taken}");
        }
    }
}

#[tokio::test]
async fn a_watch_by_index_is_in_order_and_begins_at_the_beginning() {
    let (client, _) = gateway(Script { events_per_stream: 3, ..Script::default() }).await;
    let mut watch = client.watch("r", WatchOptions::new().order(ResultOrder::ByIndex)).unwrap();
    assert_eq!(indexes(&mut watch).await, (0..TOTAL).collect::<Vec<_>>());
    assert!(client.watch("r", WatchOptions::new().order(ResultOrder::ByIndex).after_seq(1)).is_err());
}

#[tokio::test]
async fn a_tree_is_followed_over_cuts() {
    for events_per_stream in [2, 5, 100] {
        let (client, _) = gateway(Script { events_per_stream, ..Script::default() }).await;
        let mut watch = client.watch_tree("r");
        let mut seen = std::collections::BTreeMap::<String, Vec<u64>>::new();
        while let Some(news) = watch.next().await {
            let news = news.unwrap();
            let of_run = seen.entry(news.status.run_id).or_default();
            of_run.extend(news.results.iter().map(|item| item.item_index));
        }
        let all: Vec<u64> = (0..TOTAL).rev().collect();
        assert_eq!((&seen["r"], &seen["child"], seen.len()), (&all, &all, 2));
    }
}

#[tokio::test]
async fn a_repeated_submit_has_the_same_request_id() {
    let (client, gateway) = gateway(Script { failures: 2, ..Script::default() }).await;
    let run = client.submit("f", [1, 2], SubmitOptions::new()).await.unwrap();
    assert_eq!(run.run_id, "r");
    let ids: Vec<String> = gateway.script().submits.iter().map(|options| options.request_id.clone()).collect();
    assert!(ids.len() == 3 && !ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_run_is_submitted_and_followed_over_failures() {
    let (client, gateway) = gateway(Script { failures: 1, events_per_stream: 4, ..Script::default() }).await;
    let status = client.run("f", 0..TOTAL, SubmitOptions::new().item_labels((0..TOTAL).map(|i| i.to_string()))).await.unwrap();
    assert_eq!(status.results().iter().map(|item| item.item_index).collect::<Vec<_>>(), (0..TOTAL).collect::<Vec<_>>());
    assert_eq!(status.results()[7].item_label.as_deref(), Some("7"));
    assert_eq!(status.results()[7].value::<u64>().unwrap(), 7);
    let submits = gateway.script().submits.clone();
    assert!(submits.len() == 2 && submits[0].request_id == submits[1].request_id);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_repeated() {
    let (client, gateway) = gateway(Script { failures: 9, ..Script::default() }).await;
    assert_eq!(client.submit("f", [1], SubmitOptions::new()).await.unwrap_err().reason(), Reason::Unavailable);
    assert_eq!(gateway.script().submits.len(), 3);
    // Whether the first one was applied nobody knows.
    gateway.script().failures = 1;
    assert!(client.delete_run("r").await.unwrap_err().retryable());
    assert_eq!(client.cancel_run("r", "").await.unwrap_err().reason(), Reason::FailedPrecondition);
}

#[tokio::test]
async fn many_inputs_are_streamed_and_repeated() {
    let (client, gateway) = gateway(Script { failures: 1, ..Script::default() }).await;
    client.submit("f", 0..12_000, SubmitOptions::new()).await.unwrap();
    assert_eq!(gateway.script().streamed, 12_000);
    client.submit_stream("f", tokio_stream::iter(0..7_001), SubmitOptions::new()).await.unwrap();
    assert_eq!(gateway.script().streamed, 7_001);
}

#[tokio::test]
async fn a_stream_of_inputs_that_fails_submits_nothing() {
    let (client, gateway) = gateway(Script::default()).await;
    let bad = std::collections::HashMap::from([((1, 2), 3)]);
    let error = client.submit_stream("f", tokio_stream::iter(vec![bad]), SubmitOptions::new()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidValue);
    assert_eq!(gateway.script().streamed, 0);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let (client, _) = gateway(Script::default()).await;
    let began = std::time::Instant::now();
    let error = client.with_timeout(Duration::from_millis(50)).get_run("slow").await.unwrap_err();
    assert_eq!((error.reason(), error.from_peer()), (Reason::Timeout, false));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn results_that_did_not_fit_are_read_in_pages() {
    let (client, _) = gateway(Script::default()).await;
    let status = client.get_run_with_results("r", ResultOrder::ByIndex).await.unwrap();
    assert_eq!(status.results().iter().map(|item| item.item_index).collect::<Vec<_>>(), [0, 1, 2]);
    let status = client.get_run_with_results("r", ResultOrder::ByCompletion).await.unwrap();
    assert_eq!(status.results().iter().map(|item| item.item_index).collect::<Vec<_>>(), [2, 0, 1]);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let retry = RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
    let client = Client::builder().target("unix:/nowhere/gateway.sock").retry(retry).build().unwrap();
    assert_eq!(client.get_run("r").await.unwrap_err().reason(), Reason::Unavailable);
    assert!(Client::builder().target("no port").build().is_err());
}
