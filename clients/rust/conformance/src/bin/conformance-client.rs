//! The client of the conformance runner: commands on stdin, answers on stdout (tests/conformance/PROTOCOL.md).

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flowspan::{
    BlobType, Client, Error, FlowDocument, ItemFilter, ItemResult, Outcome, Reason, Result, ResultOrder, RetryOptions, RunFilter,
    RunState, RunStatus, SubmitOptions, WatchOptions,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::AbortHandle;

#[derive(Deserialize)]
struct Command {
    id: Value,
    op: String,
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Clone, Default)]
struct Session {
    client: Arc<Mutex<Option<Client>>>,
    open: Arc<Mutex<HashMap<String, AbortHandle>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let session = Session::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let command: Command = match serde_json::from_str(&line) {
            Ok(command) => command,
            Err(error) => {
                eprintln!("not a command: {error}: {line}");
                continue;
            }
        };
        if command.op == "connect" {
            // At once, for the commands behind it.
            let answer = connect(&session, &command.members);
            write_answer(&command.id, answer);
            continue;
        }
        let (id, open) = (command.id.to_string(), session.open.clone());
        let task = tokio::spawn({
            let session = session.clone();
            async move {
                let answer = execute(&session, &command).await;
                locked(&session.open).remove(&command.id.to_string());
                write_answer(&command.id, answer);
            }
        });
        if !task.is_finished() {
            locked(&open).insert(id, task.abort_handle());
        }
    }
    Ok(())
}

fn write_line(line: &Value) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn write_answer(id: &Value, answer: Result<Value>) {
    write_line(&match answer {
        Ok(ok) => json!({"id": id, "ok": ok}),
        Err(error) => json!({"id": id, "error": {
            "reason": error.reason().as_str(),
            "grpc": flowspan::grpc_code_name(error.reason().grpc_code()),
            "message": error.message(),
            "retryable": error.retryable(),
            "details": error.details(),
        }}),
    });
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

fn connect(session: &Session, members: &Map<String, Value>) -> Result<Value> {
    let mut builder = Client::builder().target(text(members, "target")?);
    if let Some(token) = members.get("token").and_then(Value::as_str) {
        builder = builder.token(token);
    }
    *locked(&session.client) = Some(builder.build()?);
    Ok(json!({"sdk": "flowspan-rust", "version": flowspan::VERSION}))
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    members.get(name).and_then(Value::as_str).ok_or_else(|| usage(format!("{name} is missing")))
}

fn read<T: serde::de::DeserializeOwned>(members: &Map<String, Value>, name: &str) -> Result<Option<T>> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|error| usage(format!("{name}: {error}"))),
    }
}

/// JSON text to what users have.
fn value(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| usage(format!("not JSON: {error}")))
}

fn value_of(members: &Map<String, Value>, name: &str) -> Result<Option<Value>> {
    members.get(name).and_then(Value::as_str).map(value).transpose()
}

fn order_of(members: &Map<String, Value>) -> Result<ResultOrder> {
    read::<String>(members, "order")?.map_or(Ok(ResultOrder::ByIndex), |order| order.parse())
}

fn seconds(members: &Map<String, Value>, name: &str) -> Result<Option<Duration>> {
    Ok(read::<f64>(members, name)?.map(Duration::from_secs_f64))
}

fn submission(members: &Map<String, Value>) -> Result<(FlowDocument, Vec<Value>, SubmitOptions)> {
    let inputs: Vec<String> = read(members, "inputs_json")?.unwrap_or_default();
    let inputs = inputs.iter().map(|text| value(text)).collect::<Result<_>>()?;
    let mut options = SubmitOptions::new();
    if let Some(items) = read(members, "max_concurrency")? {
        options = options.max_concurrency(items);
    }
    if let Some(overrides) = value_of(members, "overrides_json")? {
        options = options.overrides(&overrides);
    }
    if let Some(variables) = value_of(members, "variables_json")? {
        options = options.variables(&variables);
    }
    if let Some(label) = read::<String>(members, "flow_label")? {
        options = options.flow_label(label);
    }
    for (name, value) in read::<BTreeMap<String, String>>(members, "metadata")?.unwrap_or_default() {
        options = options.metadata(name, value);
    }
    if let Some(labels) = read::<Vec<String>>(members, "item_labels")? {
        options = options.item_labels(labels);
    }
    if let Some(deadline) = seconds(members, "deadline_s")? {
        options = options.deadline(deadline);
    }
    if let Some(id) = read::<String>(members, "request_id")? {
        options = options.request_id(id);
    }
    Ok((FlowDocument::Id(text(members, "flow_id")?.to_owned()), inputs, options))
}

async fn execute(session: &Session, command: &Command) -> Result<Value> {
    let members = &command.members;
    if command.op == "stop" {
        let op_id = members.get("op_id").unwrap_or(&Value::Null).to_string();
        if let Some(task) = locked(&session.open).remove(&op_id) {
            task.abort();
            let given_up = Error::new(Reason::RequestCancelled, "given up by its caller");
            write_answer(members.get("op_id").unwrap_or(&Value::Null), Err(given_up));
        }
        return Ok(json!({}));
    }
    let client = locked(&session.client).clone().ok_or_else(|| usage("connect comes first"))?;
    match command.op.as_str() {
        "store_flow" => Ok(json!({"flow_id": client.store_flow(value(text(members, "flow_json")?)?).await?})),
        "put_blob" => put_blob(&client, members).await,
        "get_blob" => get_blob(&client, text(members, "blob_id")?).await,
        "submit" => {
            let (flow, inputs, options) = submission(members)?;
            status(&client.submit(flow, inputs, options).await?)
        }
        "submit_stream" => {
            let (flow, inputs, options) = submission(members)?;
            status(&client.submit_stream(flow, tokio_stream::iter(inputs), options).await?)
        }
        "run" => {
            let (flow, inputs, options) = submission(members)?;
            status(&client.run(flow, inputs, options).await?)
        }
        "get" => {
            let run_id = text(members, "run_id")?;
            if read(members, "include_results")?.unwrap_or(false) {
                status(&client.get_run_with_results(run_id, order_of(members)?).await?)
            } else {
                status(&client.get_run(run_id).await?)
            }
        }
        "wait" => {
            let run_id = text(members, "run_id")?;
            client.wait(run_id, seconds(members, "timeout_s")?).await?;
            status(&client.get_run_with_results(run_id, order_of(members)?).await?)
        }
        "watch" => watch(&client, &command.id, members).await,
        "cancel" => {
            let reason: String = read(members, "reason")?.unwrap_or_default();
            status(&client.cancel_run(text(members, "run_id")?, &reason).await?)
        }
        "retry" => {
            let mut options = RetryOptions::new();
            if let Some(indexes) = read::<Vec<u64>>(members, "item_indexes")? {
                options = options.item_indexes(indexes);
            }
            if let Some(id) = read::<String>(members, "request_id")? {
                options = options.request_id(id);
            }
            status(&client.retry_run(text(members, "run_id")?, options).await?)
        }
        "delete" => {
            client.delete_run(text(members, "run_id")?).await?;
            Ok(json!({}))
        }
        "list_runs" => list_runs(&client, members).await,
        "list_items" => list_items(&client, members).await,
        "components" => {
            let found = client.components().await?;
            let names: Vec<&str> = found.components.iter().map(|component| component.path.as_str()).collect();
            Ok(json!({ "names": names }))
        }
        "deadline" => {
            let bound = Duration::from_millis(read(members, "timeout_ms")?.unwrap_or(1));
            status(&client.with_timeout(bound).get_run(text(members, "run_id")?).await?)
        }
        other => Err(usage(format!("no op {other:?}"))),
    }
}

async fn put_blob(client: &Client, members: &Map<String, Value>) -> Result<Value> {
    let blob_type = match read::<String>(members, "blob_type")?.as_deref() {
        Some("flow") => Some(BlobType::Flow),
        Some("binary") => Some(BlobType::Binary),
        Some("data") => Some(BlobType::Data),
        _ => None,
    };
    let blob_id = if let Some(data) = value_of(members, "data_json")? {
        match blob_type {
            None | Some(BlobType::Data) => client.put_blob(&data).await?,
            Some(other) => client.put_blob_bytes(data.to_string(), other).await?,
        }
    } else {
        let data = BASE64.decode(text(members, "data_base64")?).map_err(|error| usage(error.to_string()))?;
        client.put_blob_bytes(data, blob_type.unwrap_or(BlobType::Binary)).await?
    };
    Ok(json!({ "blob_id": blob_id }))
}

async fn get_blob(client: &Client, blob_id: &str) -> Result<Value> {
    let blob = client.get_blob_bytes(blob_id).await?;
    let blob_type = blob.blob_type.as_str();
    if blob.blob_type == BlobType::Binary {
        return Ok(json!({"blob_type": blob_type, "data_base64": BASE64.encode(&blob.data)}));
    }
    let value: Value = client.get_blob(blob_id).await?;
    Ok(json!({"blob_type": blob_type, "data_json": value.to_string()}))
}

async fn watch(client: &Client, id: &Value, members: &Map<String, Value>) -> Result<Value> {
    let run_id = text(members, "run_id")?;
    let mut options = WatchOptions::new();
    if let Some(cursor) = read(members, "after_seq")? {
        options = options.after_seq(cursor);
    }
    if read(members, "by_index")?.unwrap_or(false) {
        options = options.order(ResultOrder::ByIndex);
    }
    if read(members, "results_only")?.unwrap_or(false) {
        options = options.results_only();
    }
    let mut watch = client.watch(run_id, options)?;
    while let Some(result) = watch.next().await {
        write_line(&json!({"id": id, "event": {"result": item(&result?)?, "cursor": watch.cursor()}}));
    }
    let state = match watch.status() {
        Some(status) => status.clone(),
        None => client.get_run(run_id).await?,
    };
    Ok(json!({"status": status(&state)?, "cursor": watch.cursor()}))
}

async fn list_runs(client: &Client, members: &Map<String, Value>) -> Result<Value> {
    let mut filter = RunFilter::new();
    if let Some(size) = read(members, "page_size")? {
        filter = filter.page_size(size);
    }
    if let Some(words) = read::<Vec<String>>(members, "statuses")? {
        filter = filter.statuses(words.iter().map(|word| word.parse()).collect::<Result<Vec<RunState>>>()?);
    }
    if let Some(label) = read::<String>(members, "flow_label")? {
        filter = filter.flow_label(label);
    }
    for (name, value) in read::<BTreeMap<String, String>>(members, "metadata")?.unwrap_or_default() {
        filter = filter.metadata(name, value);
    }
    let runs = client.list_runs(filter).all().await?;
    Ok(json!({"run_ids": runs.iter().map(|run| &run.run_id).collect::<Vec<_>>()}))
}

async fn list_items(client: &Client, members: &Map<String, Value>) -> Result<Value> {
    let mut filter = ItemFilter::new();
    if let Some(size) = read(members, "page_size")? {
        filter = filter.page_size(size);
    }
    if let Some(words) = read::<Vec<String>>(members, "outcomes")? {
        filter = filter.outcomes(words.iter().map(|word| word.parse()).collect::<Result<Vec<Outcome>>>()?);
    }
    let items = client.list_run_items(text(members, "run_id")?, filter).all().await?;
    Ok(json!({"results": items.iter().map(item).collect::<Result<Vec<_>>>()?}))
}

fn status(status: &RunStatus) -> Result<Value> {
    let mut told = json!({
        "run_id": status.run_id,
        "flow_id": status.flow_id,
        "status": status.status.as_str(),
        "items": status.items,
        "as_of_seq": status.as_of_seq,
    });
    if status.results.is_some() {
        told["results"] = status.results().iter().map(item).collect::<Result<_>>()?;
    }
    Ok(told)
}

fn item(result: &ItemResult) -> Result<Value> {
    let mut told = json!({"item_index": result.item_index, "outcome": result.outcome.as_str()});
    if result.outcome == Outcome::Success {
        told["value_json"] = result.value::<Value>()?.to_string().into();
    }
    if let Some(error) = result.error() {
        told["error"] = json!({"code": error.code, "message": error.message});
        if let Some(data) = error.data {
            told["error"]["data_json"] = data.decode::<Value>()?.to_string().into();
        }
    }
    if let Some(reason) = result.reason() {
        told["reason"] = reason.into();
    }
    if let Some(label) = &result.item_label {
        told["item_label"] = label.clone().into();
    }
    if let Some(index) = result.source_item_index {
        told["source_item_index"] = index.into();
    }
    Ok(told)
}
