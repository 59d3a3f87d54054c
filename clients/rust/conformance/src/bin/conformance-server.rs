//! The component server of the conformance runner (tests/conformance/PROTOCOL.md).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flowspan::{ComponentError, ComponentResult, ComponentServer, Context, Outcome, RawJson, RunStatus, SubmitOptions};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Fail {
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Deserialize)]
struct SubRun {
    flow_id: String,
    inputs: Vec<Value>,
    #[serde(default)]
    max_concurrency: Option<i64>,
}

impl SubRun {
    fn options(&self) -> SubmitOptions {
        match self.max_concurrency {
            Some(items) => SubmitOptions::new().max_concurrency(items),
            None => SubmitOptions::new(),
        }
    }
}

fn number(input: &Value, name: &str) -> ComponentResult<u64> {
    input[name].as_u64().ok_or_else(|| ComponentError::invalid_input(format!("{name} is missing")))
}

fn main() -> flowspan::Result<()> {
    let capacity = std::env::var("CONFORMANCE_CAPACITY").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut server = ComponentServer::new().capacity(capacity);

    server.component("/echo", |input: Value, _| async move { Ok(input) }).description("Its input.");
    server.component("/facts", facts);
    server.component("/fail", |input: Fail, _| async move { fail(input) });
    server.component("/skip", |_: Value, _| async move { Err::<(), _>(ComponentError::new("not today")) });
    server.component("/print", |input: Value, _| async move {
        println!("{}", input["text"].as_str().unwrap_or_default());
        Ok("printed")
    });
    server.component("/sleep", |input: Value, _| async move {
        let milliseconds = number(&input, "ms")?;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        Ok(milliseconds)
    });
    server.component("/progress", |_: Value, context: Context| async move {
        for (fraction, message) in [(0.25, "a quarter"), (0.5, "half of it"), (0.75, "nearly done")] {
            context.report_progress(fraction, Some(message));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok("done")
    });
    server.blocking_component("/big", |input: Value, _| {
        let bytes = usize::try_from(number(&input, "bytes")?)?;
        Ok("x".repeat(bytes))
    });
    server.component("/deep", |input: Value, _| async move {
        let depth = usize::try_from(number(&input, "depth")?)?;
        Ok(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).parse::<RawJson>()?)
    });
    server.component("/exit", |input: Value, context: Context| async move {
        if u64::from(context.attempt()) < number(&input, "below")? {
            std::process::exit(3);
        }
        Ok(context.attempt())
    });
    server.component("/put", |input: Value, context: Context| async move {
        let blob_id = context.put_blob(&input).await?;
        let data: Value = context.get_blob(&blob_id).await?;
        Ok(json!({"blobId": blob_id, "data": data}))
    });
    server.component("/sub_run", |input: SubRun, context: Context| async move {
        sub_run(&context.run(&input.flow_id, &input.inputs, input.options()).await?)
    });
    server.component("/sub_watch", |input: SubRun, context: Context| async move {
        let run = context.submit_run(&input.flow_id, &input.inputs, input.options()).await?;
        let mut watch = context.watch_run(&run.run_id, 0)?;
        let mut indexes = Vec::new();
        while let Some(result) = watch.next().await {
            indexes.push(result?.item_index);
        }
        let status = match watch.status() {
            Some(status) => status.status,
            None => context.get_run(&run.run_id).await?.status,
        };
        Ok(json!({"indexes": indexes, "status": status.as_str()}))
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    server.component("/count", |_: Value, _| async move { Ok(COUNT.fetch_add(1, Ordering::Relaxed) + 1) });
    server.component("/users/{id}", |input: Value, context: Context| async move {
        Ok(json!({"id": context.parameter("id"), "input": input}))
    });
    server.run()
}

async fn facts(_: Value, context: Context) -> ComponentResult<Value> {
    Ok(json!({
        "attempt": context.attempt(),
        "runId": context.run_id(),
        "flowId": context.flow_id(),
        "stepId": context.step_id(),
        "itemIndex": context.item_index(),
        "taskToken": context.task_token().is_some(),
        "idempotencyToken": context.idempotency_token(),
        "traceparent": context.traceparent(),
        "pid": std::process::id(),
    }))
}

fn fail(input: Fail) -> ComponentResult<()> {
    let error = match input.kind.as_str() {
        "invalid_input" => ComponentError::invalid_input(input.message),
        "unavailable" => ComponentError::unavailable(input.message),
        "crash_in_code" => panic!("{}", input.message),
        _ => ComponentError::new(input.message),
    };
    Err(match input.data {
        Some(data) => error.with_data(data),
        None => error,
    })
}

fn sub_run(run: &RunStatus) -> ComponentResult<Value> {
    let mut results = Vec::new();
    for item in run.results() {
        let mut told = json!({"itemIndex": item.item_index, "outcome": item.outcome.as_str()});
        if item.outcome == Outcome::Success {
            told["value"] = item.value()?;
        }
        results.push(told);
    }
    Ok(json!({"runId": run.run_id, "status": run.status.as_str(), "results": results}))
}
