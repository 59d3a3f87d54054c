//! The server's end of the pipes, played by the real code; the gateway's end by these tests.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::*;
use crate::server::{ComponentError, ComponentServer};
use crate::{Context, SubmitOptions};

struct Gateway {
    write: UnixStream,
    read: BufReader<UnixStream>,
    served: tokio::task::JoinHandle<Result<()>>,
}

impl Gateway {
    fn start(capacity: u32) -> Gateway {
        let (stdin, write) = UnixStream::pair().unwrap();
        let (stdout, read) = UnixStream::pair().unwrap();
        let file = |end: UnixStream| File::from(OwnedFd::from(end));
        let wire = WirePipes { read: file(stdin), write: file(stdout) };
        let served = tokio::spawn(serve(Arc::new(server().registry), capacity, wire));
        read.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Gateway { write, read: BufReader::new(read), served }
    }

    fn shaken(capacity: u32) -> Gateway {
        let mut gateway = Gateway::start(capacity);
        let initialize = json!({"protocolVersions": [1], "capabilities": {"drain": true, "bulk": true}});
        let answer = gateway.ask("1-1", "initialize", initialize);
        assert_eq!(answer["serverProtocolVersion"], 1);
        assert_eq!((&answer["capabilities"]["capacity"], &answer["capabilities"]["bulk"]), (&json!(capacity), &json!(true)));
        gateway.send(json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}));
        gateway
    }

    fn send(&mut self, message: Value) {
        self.write.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.read.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, id: &str, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.receive();
        assert_eq!(answer["id"], id);
        answer["result"].clone()
    }

    fn execute(&mut self, id: u64, component: &str, input: Value, more: Value) {
        let mut params = json!({"component": component, "input": input, "attempt": 1, "taskToken": "t", "itemIndex": 3,
            "observability": {"trace_id": "a", "span_id": "b", "run_id": "r", "flow_id": "f", "step_id": "s"}});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params}));
    }

    fn execute_many(&mut self, component: &str, calls: &Value) {
        let origin = json!({"trace_id": "a", "run_id": "r", "flow_id": "f", "step_id": "s"});
        let params =
            json!({"component": component, "observability": origin, "spanPrefix": "ed1d78", "tokenPrefix": "tok-", "calls": calls});
        self.send(json!({"jsonrpc": "2.0", "method": "$/execute", "params": params}));
    }

    /// Outputs and failures, by number, from as many lines as it takes.
    fn bulk_answers(&mut self, count: usize) -> Vec<(u64, Value)> {
        let mut answers = Vec::new();
        while answers.len() < count {
            let line = self.receive();
            assert_eq!(line["method"], "$/outputs");
            for kind in ["outputs", "failures"] {
                for pair in line["params"][kind].as_array().into_iter().flatten() {
                    answers.push((pair[0].as_u64().unwrap(), pair[1].clone()));
                }
            }
        }
        answers.sort_by_key(|(number, _)| *number);
        answers
    }
}

static STARTED: AtomicU32 = AtomicU32::new(0);

fn server() -> ComponentServer {
    let mut server = ComponentServer::new();
    server.component("/echo", |input: Value, _| async move { Ok(input) }).description("Its input.");
    server.inline_component("/double", |number: i64| Ok(2 * number));
    server.blocking_component("/slow", |input: u64, context| {
        STARTED.fetch_add(1, Ordering::Relaxed);
        for _ in 0..input / 5 {
            context.check_cancelled()?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(input)
    });
    server.component("/sleep", |input: u64, _| async move {
        tokio::time::sleep(Duration::from_millis(input)).await;
        Ok(input)
    });
    server.component("/panic", |_: Value, _| async move {
        if true {
            panic!("oh no");
        }
        Ok(())
    });
    server.component("/fail", |input: Value, _| async move { Err::<(), _>(ComponentError::new("no").with_data(input)) });
    server.component("/facts", |_: Value, context: Context| async move {
        Ok(json!([
            context.attempt(),
            context.run_id(),
            context.item_index(),
            context.task_token(),
            context.idempotency_token(),
            context.traceparent()
        ]))
    });
    server.component("/run", |input: Value, context: Context| async move {
        let run = context.run("f", [input], SubmitOptions::new()).await?;
        Ok(run.results()[0].value::<Value>()?)
    });
    server.component("/watch", |run_id: String, context: Context| async move {
        let mut watch = context.watch_run(&run_id, 0)?;
        let mut indexes = Vec::new();
        while let Some(result) = watch.next().await {
            indexes.push(result?.item_index);
        }
        Ok(json!({"indexes": indexes, "cursor": watch.cursor(), "status": watch.status().map(|status| status.status.as_str())}))
    });
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_lists_components_and_ends_in_order() {
    let mut gateway = Gateway::start(4);
    gateway.send(json!({"jsonrpc": "2.0", "id": 1, "method": "components/list"}));
    assert_eq!(gateway.receive()["error"]["code"], -32002);
    gateway.send(json!({"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {"protocolVersions": [7]}}));
    assert_eq!(gateway.receive()["error"]["code"], -32005);
    gateway.ask("3", "initialize", json!({"runtimeProtocolVersion": 1}));
    let listed = gateway.ask("4", "components/list", json!({}));
    assert_eq!(
        (&listed["components"][0]["component"], &listed["components"][0]["description"]),
        (&json!("/echo"), &json!("Its input."))
    );
    assert_eq!(gateway.ask("5", "components/info", json!({"component": "echo"}))["info"]["name"], "/echo");
    gateway.send(json!({"jsonrpc": "2.0", "id": 6, "method": "no/such", "params": {}}));
    assert_eq!(gateway.receive()["error"]["code"], -32601);
    assert_eq!(gateway.ask("7", "ping", json!({})), json!({}));
    gateway.execute(8, "/sleep", json!(50), json!({}));
    assert_eq!(gateway.ask("9", "shutdown", json!({})), json!({}));
    assert_eq!(gateway.receive(), json!({"jsonrpc": "2.0", "id": 8, "result": {"output": 50}}));
    gateway.served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_answered_with_what_they_are() {
    let mut gateway = Gateway::shaken(8);
    let line = r#"{"jsonrpc":"2.0","id":"x\"y","method":"components/execute","params":{"component":"/echo","input":[1.0,-0.0,9007199254740993]}}"#;
    gateway.write.write_all(format!("noise\n\r\n{line}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    gateway.read.read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"jsonrpc\":\"2.0\",\"id\":\"x\\\"y\",\"result\":{\"output\":[1.0,-0.0,9007199254740993]}}\n");
    gateway.execute(1, "/facts", json!(null), json!({}));
    let token = crate::idempotency_token("r", 3, "s");
    assert_eq!(gateway.receive()["result"]["output"], json!([1, "r", 3, "t", token, "00-a-b-01"]));
    gateway.execute(2, "/double", json!("two"), json!({}));
    assert_eq!(gateway.receive()["error"]["code"], -32003);
    gateway.execute(3, "/panic", json!(1), json!({}));
    assert_eq!(gateway.receive()["error"]["message"], "the component panicked: oh no");
    gateway.execute(4, "/nobody", json!(1), json!({}));
    assert_eq!(gateway.receive()["error"]["code"], -32001);
    gateway.write.write_all(b"{\"jsonrpc\": nonsense}\n").unwrap();
    assert_eq!(gateway.receive()["error"]["code"], -32700);
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_in_bulk_are_answered_in_bulk() {
    let mut gateway = Gateway::shaken(8);
    let calls: Vec<Value> = (0..500).map(|number| json!([number, number, 1, number])).collect();
    gateway.execute_many("/double", &json!(calls));
    gateway.execute_many("/echo", &json!([[500, 7, 2, "a"], [501, 8, 1, [1.5]]]));
    gateway.execute_many("/fail", &json!([[502, 7, 2, {"a": 1}]]));
    gateway.execute_many("/facts", &json!([[503, 9, 2, null]]));
    gateway.execute_many("/nobody", &json!([[504, 9, 2, null]]));
    let answers = gateway.bulk_answers(505);
    assert!(answers[..500].iter().all(|(number, value)| *value == json!(2 * number)));
    assert_eq!((&answers[500].1, &answers[501].1), (&json!("a"), &json!([1.5])));
    assert_eq!((&answers[502].1["code"], &answers[502].1["data"]["data"]), (&json!(-32004), &json!({"a": 1})));
    let token = crate::idempotency_token("r", 9, "s");
    assert_eq!(answers[503].1, json!([2, "r", 9, "tok-1f7", token, "00-a-ed1d7800000001f7-01"]));
    assert_eq!(answers[504].1["code"], -32001);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_executions_end_and_time_outs_are_kept() {
    let mut gateway = Gateway::shaken(8);
    gateway.execute(1, "/sleep", json!(60_000), json!({}));
    gateway.execute(2, "/slow", json!(60_000), json!({}));
    while STARTED.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    gateway.send(json!({"jsonrpc": "2.0", "id": "c", "method": "$/cancel", "params": {"ids": [1, 2, 77]}}));
    let mut answers: Vec<Value> = (0..3).map(|_| gateway.receive()).collect();
    let at = answers.iter().position(|answer| answer["id"] == "c").unwrap();
    assert_eq!(answers.remove(at)["result"], json!({"dropped": [], "running": [1, 2]}));
    assert!(answers.iter().all(|answer| answer["error"]["code"] == -32800), "{answers:?}");
    let began = std::time::Instant::now();
    gateway.execute(3, "/sleep", json!(60_000), json!({"timeoutMs": 100}));
    assert_eq!(gateway.receive()["error"]["code"], -32006);
    assert!(began.elapsed() >= Duration::from_millis(100) && began.elapsed() < Duration::from_secs(5));
    gateway.execute(4, "/sleep", json!(1_500), json!({"timeoutMs": 10_000}));
    assert_eq!(gateway.receive(), json!({"jsonrpc": "2.0", "method": "$/started", "params": {"ids": [4]}}));
    assert_eq!(gateway.receive()["result"]["output"], 1_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_run_is_waited_for_without_time_running() {
    let mut gateway = Gateway::shaken(1);
    gateway.execute(1, "/run", json!(1.50), json!({"timeoutMs": 200}));
    let asked = gateway.receive();
    assert_eq!(asked["method"], "runs/submit");
    let params = &asked["params"];
    assert_eq!((&params["wait"], &params["taskToken"], &params["flowId"]), (&json!(true), &json!("t"), &json!("f")));
    assert_eq!(params["inputs"].to_string(), "[1.5]");
    assert_eq!(params["observability"]["run_id"], "r");
    // Re-entered meanwhile, and for longer than the time-out.
    gateway.execute(2, "/echo", json!("nested"), json!({}));
    assert_eq!(gateway.receive()["result"]["output"], "nested");
    thread::sleep(Duration::from_millis(400));
    let items = json!({"total": 1, "pending": 0, "running": 0, "success": 1, "failed": 0, "cancelled": 0});
    let results = json!([{"itemIndex": 0, "result": {"outcome": "success", "value": 7}}]);
    let run = json!({"runId": "sub", "flowId": "f", "status": "success", "items": items, "results": results});
    gateway.send(json!({"jsonrpc": "2.0", "id": asked["id"], "result": run}));
    assert_eq!(gateway.receive(), json!({"jsonrpc": "2.0", "id": 1, "result": {"output": 7}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_run_tells_its_results_and_its_end() {
    let mut gateway = Gateway::shaken(1);
    gateway.execute(1, "/watch", json!("sub"), json!({}));
    let asked = gateway.receive();
    assert_eq!((&asked["method"], &asked["params"]["afterSeq"]), (&json!("runs/watch"), &json!(0)));
    for (cursor, index) in [(3, 1), (4, 0)] {
        let items = json!([{"itemIndex": index, "result": {"outcome": "success", "value": 7}}]);
        let params = json!({"watchId": asked["id"], "runId": "sub", "cursor": cursor, "items": items});
        gateway.send(json!({"jsonrpc": "2.0", "method": "runs/event", "params": params}));
    }
    let items = json!({"total": 2, "pending": 0, "running": 0, "success": 2, "failed": 0, "cancelled": 0});
    let run = json!({"runId": "sub", "flowId": "f", "status": "success", "items": items});
    gateway.send(json!({"jsonrpc": "2.0", "id": asked["id"], "result": run}));
    let output = gateway.receive()["result"]["output"].clone();
    assert_eq!(output, json!({"indexes": [1, 0], "cursor": 4, "status": "success"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_passes_and_the_end_of_input_ends_the_server() {
    let mut gateway = Gateway::shaken(4);
    let text = "x".repeat(20_000_000);
    let mut write = gateway.write.try_clone().unwrap();
    let line = format!(
        "{}\n",
        json!({"jsonrpc": "2.0", "id": 1, "method": "components/execute",
        "params": {"component": "/echo", "input": text}})
    );
    let writer = thread::spawn(move || write.write_all(line.as_bytes()).unwrap());
    assert_eq!(gateway.receive()["result"]["output"].as_str().unwrap().len(), text.len());
    writer.join().unwrap();
    gateway.execute(2, "/sleep", json!(50), json!({}));
    gateway.write.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(gateway.receive()["result"]["output"], 50);
    tokio::time::timeout(Duration::from_secs(5), gateway.served).await.unwrap().unwrap().unwrap();
}
