//! Ten tasks, the same in every language: docs/sdks.md shows them side by side. With `serve` it is the component server.

use std::time::Duration;

use flowspan::{Client, ComponentError, ComponentServer, Context, ResultOrder, RetryOptions, SubmitOptions, WatchOptions};
use serde_json::{Value, json};

type Result<T> = flowspan::Result<T>;

// 1. Store a flow
fn one_step(component: &str) -> Value {
    json!({
        "name": component,
        "steps": [{"id": "only", "component": component, "input": {"$input": "$"}}],
        "output": {"$step": "only"},
    })
}

async fn store(client: &Client) -> Result<String> {
    client.store_flow(one_step("/shop/double")).await
}

// 2. Run it
async fn run(client: &Client, flow_id: &str) -> Result<()> {
    let status = client.run(flow_id, [1, 2, 3], SubmitOptions::new().flow_label("first")).await?;
    for item in status.results() {
        println!("{} {}", item.item_index, item.value::<i64>()?);
    }
    Ok(())
}

// 3. Follow a run
async fn follow(client: &Client, flow_id: &str) -> Result<(String, u64)> {
    let run = client.submit(flow_id, 0..10, SubmitOptions::new().max_concurrency(5)).await?;
    let mut watch = client.watch(&run.run_id, WatchOptions::new().order(ResultOrder::ByIndex))?;
    while let Some(item) = watch.next().await {
        let item = item?;
        if item.item_index == 9 {
            println!("the last is {}", item.value::<i64>()?);
        }
    }
    Ok((run.run_id, watch.cursor()))
}

// 4. Go on from a cursor
async fn resume(client: &Client, run_id: &str, cursor: u64) -> Result<()> {
    let mut watch = client.watch(run_id, WatchOptions::new().after_seq(cursor))?;
    let mut left = 0;
    while let Some(item) = watch.next().await {
        item?;
        left += 1;
    }
    println!("left: {left}");
    Ok(())
}

// 5. Errors have reasons
async fn look_up(client: &Client) {
    if let Err(error) = client.get_run("019f0000-0000-7000-8000-000000000000").await {
        println!("{} {}", error.reason(), if error.retryable() { "to be repeated" } else { "for good" });
    }
}

// 6. Wait with a bound, and cancel
async fn cancel(client: &Client) -> Result<()> {
    let run = client.submit(one_step("/shop/slow"), [()], SubmitOptions::new()).await?;
    println!("{}", client.wait(&run.run_id, Some(Duration::from_millis(200))).await?.status);
    client.cancel_run(&run.run_id, "no longer needed").await?;
    println!("{}", client.wait(&run.run_id, None).await?.status);
    Ok(())
}

// 7. Retry what failed
async fn retry(client: &Client, flow_id: &str) -> Result<()> {
    let status = client.run(flow_id, [1, -1], SubmitOptions::new()).await?;
    for item in status.results() {
        if let Some(error) = item.error() {
            println!("{} {} {}", item.item_index, error.code, error.message);
        }
    }
    let again = client.retry_run(&status.run_id, RetryOptions::new()).await?;
    println!("again: {}", again.items.total);
    Ok(())
}

// 8. Blobs
async fn blobs(client: &Client) -> Result<()> {
    let blob_id = client.put_blob(&json!({"count": 1_u64 << 60})).await?;
    let value: Value = client.get_blob(&blob_id).await?;
    println!("{}", value["count"]);
    Ok(())
}

// 9. Components
async fn double(value: i64, _: Context) -> std::result::Result<i64, ComponentError> {
    if value < 0 {
        return Err(ComponentError::new(format!("{value} is negative")));
    }
    Ok(2 * value)
}

async fn slow(_: (), _: Context) -> std::result::Result<(), ComponentError> {
    tokio::time::sleep(Duration::from_secs(60)).await; // dropped with its run
    Ok(())
}

// 10. A component that runs a flow
async fn total(values: Vec<i64>, context: Context) -> std::result::Result<i64, ComponentError> {
    let flow_id = context.put_blob(&one_step("/shop/double")).await?;
    context.report_progress(0.5, Some("running the others"));
    let run = context.run(&flow_id, values, SubmitOptions::new()).await?;
    let mut sum = 0;
    for item in run.results() {
        sum += item.value::<i64>()?;
    }
    Ok(sum)
}

fn serve() -> Result<()> {
    let mut server = ComponentServer::new().capacity(8);
    server.component("/double", double);
    server.component("/slow", slow);
    server.component("/total", total);
    server.run()
}

// end
#[tokio::main]
async fn tasks() -> Result<()> {
    let client = Client::new()?;
    let flow_id = store(&client).await?;
    run(&client, &flow_id).await?;
    let (run_id, cursor) = follow(&client, &flow_id).await?;
    resume(&client, &run_id, cursor).await?;
    look_up(&client).await;
    cancel(&client).await?;
    retry(&client, &flow_id).await?;
    blobs(&client).await?;
    let status = client.run(one_step("/shop/total"), [[1, 2, 3]], SubmitOptions::new()).await?;
    println!("in all: {}", status.results()[0].value::<i64>()?);
    Ok(())
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") { serve() } else { tasks() }
}
