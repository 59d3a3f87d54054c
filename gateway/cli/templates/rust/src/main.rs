//! The components of @NAME@.

use flowspan::{ComponentError, ComponentServer, Context, SubmitOptions};
use serde_json::json;

/// The number of words of a text.
fn count(text: &str) -> Result<usize, ComponentError> {
    match text.split_whitespace().count() {
        0 => Err(ComponentError::invalid_input("a text without words")),
        words => Ok(words),
    }
}

/// The words of many texts: `count` over all of them, as a sub-run.
async fn total(texts: Vec<String>, context: Context) -> Result<usize, ComponentError> {
    let flow = json!({
        "name": "count",
        "steps": [{"id": "count", "component": "/@NAME@/count", "input": {"$input": "$"}}],
        "output": {"$step": "count"},
    });
    let flow_id = context.put_blob(&flow).await?;
    let run = context.run(&flow_id, texts, SubmitOptions::new()).await?.error_for_failures()?;
    let mut sum = 0;
    for item in run.results() {
        sum += item.value::<usize>()?;
    }
    Ok(sum)
}

fn main() -> flowspan::Result<()> {
    let mut server = ComponentServer::new();
    server
        .component("/count", |text: String, _: Context| async move { count(&text) })
        .description("The number of words of a text.");
    server
        .component("/total", total)
        .description("The words of many texts.");
    server.run()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_words() {
        assert_eq!(count("or not to be").unwrap(), 4);
    }

    #[test]
    fn refuses_a_text_without_words() {
        assert!(count(" ").is_err());
    }
}
