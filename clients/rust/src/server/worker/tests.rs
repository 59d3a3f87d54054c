//! The worker against a small gateway of these tests.

use std::pin::Pin;

use futures_core::Stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::RetryPolicy;
use crate::server::ComponentServer;
use crate::v1::worker_service_server::{WorkerService, WorkerServiceServer};

type Said = Result<ConnectResponse, Status>;

/// One connection, seen from the gateway.
struct Accepted {
    down: mpsc::Sender<Said>,
    up: Streaming<ConnectRequest>,
    hello: v1::WorkerHello,
}

struct Service(mpsc::Sender<Accepted>);

#[tonic::async_trait]
impl WorkerService for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Said> + Send>>;

    async fn connect(&self, request: Request<Streaming<ConnectRequest>>) -> Result<Response<Self::ConnectStream>, Status> {
        let mut up = request.into_inner();
        let (down, messages) = mpsc::channel(16);
        let Some(Up::Hello(hello)) = up.message().await?.and_then(|message| message.message) else {
            return Err(Status::invalid_argument("Hello comes first"));
        };
        if hello.queue == "forbidden" {
            return Err(Status::permission_denied("not yours"));
        }
        let _ = self.0.send(Accepted { down, up, hello }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

struct Gateway {
    accepted: AsyncMutex<mpsc::Receiver<Accepted>>,
    end: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Result<()>>,
}

impl Gateway {
    async fn start(queue: &str) -> Gateway {
        let (accept, accepted) = mpsc::channel(4);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let service = WorkerServiceServer::new(Service(accept));
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let client = Client::builder().target(target).token("t").retry(RetryPolicy::default());
        let (end, ended) = oneshot::channel::<()>();
        let ended = async move {
            if ended.await.is_err() {
                std::future::pending().await
            }
        };
        let registry = Arc::new(server().registry);
        let served = tokio::spawn(serve(registry, 4, queue.to_owned(), client, Duration::from_secs(5), ended));
        Gateway { accepted: AsyncMutex::new(accepted), end: Some(end), served }
    }

    async fn accept(&self) -> Accepted {
        tokio::time::timeout(Duration::from_secs(10), self.accepted.lock().await.recv()).await.unwrap().unwrap()
    }

    async fn welcomed(&self, session: &str, unwanted: &[u64]) -> Accepted {
        let accepted = self.accept().await;
        let welcome = v1::WorkerWelcome {
            protocol_version: 1,
            session: session.to_owned(),
            heartbeat_seconds: 0.2,
            away_seconds: 5.0,
            token_prefix: "tok-".to_owned(),
            span_prefix: "ed1d78".to_owned(),
            unwanted: unwanted.to_vec(),
        };
        accepted.send(Down::Welcome(welcome)).await;
        accepted
    }
}

impl Accepted {
    async fn send(&self, message: Down) {
        self.down.send(Ok(ConnectResponse { message: Some(message) })).await.unwrap();
    }

    async fn execute(&self, component: &str, calls: &[(u64, &str)], timeout_seconds: f64) {
        let batch = v1::WorkerBatch {
            component: component.to_owned(),
            run_id: "r".to_owned(),
            flow_id: "f".to_owned(),
            step_id: "s".to_owned(),
            trace_id: "a".to_owned(),
            sampled: true,
            timeout_seconds,
            executions: calls.iter().map(|call| call.0).collect(),
            item_indexes: calls.iter().map(|call| call.0).collect(),
            attempts: calls.iter().map(|_| 1).collect(),
            inputs: calls.iter().map(|call| Bytes::from(call.1.to_owned())).collect(),
        };
        self.send(Down::Execute(v1::WorkerExecute { batches: vec![batch] })).await;
    }

    /// The next message that is no heartbeat; None at the end of the worker's side.
    async fn receive(&mut self) -> Option<Up> {
        loop {
            // The gateway's own signs of life.
            let _ = self.down.try_send(Ok(ConnectResponse { message: Some(Down::Heartbeat(v1::GatewayHeartbeat {})) }));
            let message = tokio::time::timeout(Duration::from_secs(10), self.up.message()).await.unwrap();
            match message.ok()??.message? {
                Up::Heartbeat(beat) if beat.started.is_empty() => {}
                other => return Some(other),
            }
        }
    }

    async fn results(&mut self) -> v1::WorkerResults {
        match self.receive().await {
            Some(Up::Results(results)) => results,
            other => panic!("{other:?} is no results"),
        }
    }

    async fn acknowledge(&self, through_sequence: u64) {
        self.send(Down::Acknowledged(v1::WorkerAcknowledged { through_sequence })).await;
    }
}

fn server() -> ComponentServer {
    let mut server = ComponentServer::new();
    server.component("/echo", |input: Value, _| async move { Ok(input) });
    server.component("/big", |input: usize, _| async move { Ok("x".repeat(input)) });
    server.component("/users/{id}", |_: Value, context: crate::Context| async move { Ok(json!(context.parameter("id"))) });
    server.component("/sleep", |input: u64, _| async move {
        tokio::time::sleep(Duration::from_millis(input)).await;
        Ok(input)
    });
    server.component("/facts", |_: Value, context: crate::Context| async move {
        Ok(json!([context.item_index(), context.task_token(), context.traceparent()]))
    });
    server.component("/progress", |_: Value, context: crate::Context| async move {
        context.report_progress(0.5, Some("half"));
        Ok(())
    });
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_hello_executes_and_answers() {
    let gateway = Gateway::start("q").await;
    let mut worker = gateway.welcomed("one", &[]).await;
    let hello = &worker.hello;
    assert_eq!((hello.queue.as_str(), hello.capacity, &hello.protocol_versions[..]), ("q", 4, &[1][..]));
    assert!(hello.session.is_empty() && hello.held.is_empty() && !hello.worker_id.is_empty());
    assert_eq!(hello.components[2].name, "/users/{id}");
    worker.execute("/echo", &[(1, "1.0")], 0.0).await;
    let results = worker.results().await;
    assert_eq!((results.sequence, &results.executions[..], &results.outputs[0][..]), (1, &[1][..], &b"1.0"[..]));
    worker.execute("/users/7", &[(2, "null")], 0.0).await;
    assert_eq!(&worker.results().await.outputs[0][..], b"\"7\"");
    worker.execute("/facts", &[(31, "null")], 0.0).await;
    assert_eq!(&worker.results().await.outputs[0][..], br#"[31,"tok-1f","00-a-ed1d78000000001f-01"]"#);
    worker.execute("/nobody", &[(4, "null")], 0.0).await;
    assert_eq!(worker.results().await.failures[0].code, -32001);
    worker.execute("/big", &[(41, "17000000")], 0.0).await;
    assert_eq!(worker.results().await.failures[0].code, -32004);
    worker.execute("/echo", &[(5, "{")], 0.0).await;
    assert_eq!(worker.results().await.failures[0].code, -32003);
    worker.execute("/progress", &[(6, "null")], 0.0).await;
    let Some(Up::Progress(progress)) = worker.receive().await else { panic!("no progress") };
    assert_eq!((progress.execution, progress.fraction, progress.message.as_str()), (6, 0.5, "half"));
    assert_eq!(worker.results().await.executions, [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_are_kept_and_cancels_are_answered() {
    let gateway = Gateway::start("q").await;
    let mut worker = gateway.welcomed("one", &[]).await;
    worker.execute("/sleep", &[(1, "60000")], 0.1).await;
    assert_eq!(worker.results().await.failures[0].code, -32006);
    worker.execute("/sleep", &[(2, "60000")], 60.0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.send(Down::Cancel(v1::WorkerCancel { executions: vec![2, 99] })).await;
    let (mut told, mut answered) = (None, None);
    while told.is_none() || answered.is_none() {
        match worker.receive().await {
            Some(Up::Cancelled(cancelled)) => told = Some(cancelled),
            Some(Up::Results(results)) => answered = Some(results),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((told.unwrap().running, answered.unwrap().failures[0].code), (vec![2], -32800));
    worker.execute("/sleep", &[(3, "1500")], 60.0).await;
    let Some(Up::Heartbeat(beat)) = worker.receive().await else { panic!("it was not told that the execution runs") };
    assert_eq!(beat.started, [3]);
    assert_eq!(worker.results().await.executions, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_loses_no_execution_and_no_result() {
    let gateway = Gateway::start("q").await;
    let mut worker = gateway.welcomed("one", &[]).await;
    let worker_id = worker.hello.worker_id.clone();
    worker.execute("/echo", &[(1, "1")], 0.0).await;
    assert_eq!(worker.results().await.sequence, 1);
    worker.acknowledge(1).await;
    worker.execute("/echo", &[(2, "2")], 0.0).await;
    assert_eq!(worker.results().await.sequence, 2);
    worker.execute("/sleep", &[(3, "1000"), (4, "60000")], 0.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(worker);

    let mut worker = gateway.welcomed("one", &[4]).await;
    assert_eq!((&worker.hello.worker_id, worker.hello.session.as_str()), (&worker_id, "one"));
    assert_eq!(worker.hello.held, [2, 3, 4]);
    let again = worker.results().await;
    assert_eq!((again.sequence, &again.executions[..]), (2, &[2][..]));
    let rest = worker.results().await;
    assert_eq!((rest.sequence, &rest.executions[..]), (3, &[3][..]));
    drop(worker);

    // Another life of the gateway: nothing counts any more, and the numbers begin again.
    let mut worker = gateway.welcomed("two", &[]).await;
    assert_eq!(worker.hello.held, [2, 3]);
    worker.execute("/echo", &[(1, "9")], 0.0).await;
    let results = worker.results().await;
    assert_eq!((results.sequence, &results.outputs[0][..]), (1, &b"9"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_finishes_and_leaves() {
    let mut gateway = Gateway::start("q").await;
    let mut worker = gateway.welcomed("one", &[]).await;
    worker.execute("/sleep", &[(1, "300")], 0.0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    gateway.end.take().unwrap().send(()).unwrap();
    let Some(Up::Leaving(leaving)) = worker.receive().await else { panic!("it does not say that it leaves") };
    assert!(leaving.given_back.is_empty());
    // It was under way.
    worker.execute("/echo", &[(2, "2")], 0.0).await;
    let Some(Up::Leaving(leaving)) = worker.receive().await else { panic!("it keeps what it will not begin") };
    assert_eq!(leaving.given_back, [2]);
    assert_eq!(worker.results().await.executions, [1]);
    worker.acknowledge(1).await;
    assert!(worker.receive().await.is_none());
    drop(worker);
    tokio::time::timeout(Duration::from_secs(5), gateway.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_finishes_closes_and_comes_back() {
    let gateway = Gateway::start("q").await;
    let mut worker = gateway.welcomed("one", &[]).await;
    worker.execute("/sleep", &[(1, "200")], 0.0).await;
    worker.send(Down::Drain(v1::WorkerDrain { reason: "the gateway stops".to_owned() })).await;
    assert_eq!(worker.results().await.executions, [1]);
    worker.acknowledge(1).await;
    assert!(worker.receive().await.is_none());
    drop(worker);
    assert_eq!(gateway.welcomed("two", &[]).await.hello.session, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_silent_is_left() {
    let gateway = Gateway::start("q").await;
    let silent = gateway.welcomed("one", &[]).await;
    let began = Instant::now();
    let again = gateway.accept().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(again.hello.session, "one");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_refused_for_good_ends() {
    let gateway = Gateway::start("forbidden").await;
    let error = tokio::time::timeout(Duration::from_secs(5), gateway.served).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.reason(), Reason::PermissionDenied);
}
