//! What goes wrong in component code, as the error answers that a gateway understands.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{DOMAIN, Error, Reason};
use crate::json::RawJson;

const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Data of an error is cut at 64 KiB by the gateway.
const MAX_DATA_BYTES: usize = 48 * 1024;
const MAX_CAUSES: usize = 16;

/// What a component answers.
pub type ComponentResult<T> = std::result::Result<T, ComponentError>;

/// Fails a step in a chosen way. Every error of the language converts to it by `?`, as a failure of the component.
pub struct ComponentError(Box<Inner>);

struct Inner {
    reason: Reason,
    message: String,
    kind: Option<&'static str>,
    code: Option<String>,
    data: Option<Value>,
    causes: Vec<String>,
    cause: Option<Reason>,
    retry_after: Option<Duration>,
}

impl ComponentError {
    /// The step failed; its flow may retry it.
    pub fn new(message: impl Into<String>) -> ComponentError {
        ComponentError::of(Reason::ComponentFailed, message.into())
    }

    /// The input is wrong; never retried.
    pub fn invalid_input(message: impl Into<String>) -> ComponentError {
        ComponentError::of(Reason::InputSchema, message.into())
    }

    /// Something that the component needs is not there; its flow may retry it.
    pub fn unavailable(message: impl Into<String>) -> ComponentError {
        ComponentError::of(Reason::ResourceUnavailable, message.into())
    }

    /// Something that the component needs took too long.
    pub fn timeout(message: impl Into<String>) -> ComponentError {
        ComponentError::of(Reason::Timeout, message.into())
    }

    fn of(reason: Reason, message: String) -> ComponentError {
        ComponentError(Box::new(Inner {
            reason,
            message,
            kind: None,
            code: None,
            data: None,
            causes: Vec::new(),
            cause: None,
            retry_after: None,
        }))
    }

    /// The component's own code, told in `data.code`.
    pub fn with_code(mut self, code: impl Into<String>) -> ComponentError {
        self.0.code = Some(code.into());
        self
    }

    /// Any value, told in `data.data`; cut beyond 48 KiB.
    pub fn with_data(mut self, data: impl Serialize) -> ComponentError {
        self.0.data = Some(match serde_json::to_value(data) {
            Ok(data) => bounded(data),
            Err(error) => json!({"unreadable": error.to_string()}),
        });
        self
    }

    /// When the next attempt may be worth while.
    pub fn retry_after(mut self, delay: Duration) -> ComponentError {
        self.0.retry_after = Some(delay);
        self
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

fn bounded(data: Value) -> Value {
    let text = data.to_string();
    if text.len() <= MAX_DATA_BYTES {
        return data;
    }
    json!({"truncated": true, "bytes": text.len(), "head": cut(&text, 1024)})
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ComponentError {
    fn from(error: E) -> ComponentError {
        let of_gateway = (&error as &dyn Any).downcast_ref::<Error>();
        let mut failure = ComponentError::new(error.to_string());
        failure.0.kind = Some(std::any::type_name::<E>());
        // A call to the gateway failed and the component let it pass: the component failed, whatever the gateway said.
        failure.0.cause = of_gateway.map(Error::reason);
        let mut source = error.source();
        while let Some(cause) = source.filter(|_| failure.0.causes.len() < MAX_CAUSES) {
            failure.0.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }
}

impl fmt::Debug for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason, self.0.message)
    }
}

/// An error answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub code: i32,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

impl Failure {
    fn new(reason: Reason, message: &str, details: Map<String, Value>) -> Failure {
        let mut data = Map::from_iter([("reason".to_owned(), reason.as_str().into()), ("domain".to_owned(), DOMAIN.into())]);
        data.extend(details);
        Failure { code: reason.jsonrpc_code(), message: cut(message, MAX_MESSAGE_BYTES), data: RawJson::of(&data).ok() }
    }

    pub fn cancelled() -> Failure {
        Failure::new(Reason::RequestCancelled, "the execution was cancelled", Map::new())
    }

    pub fn timed_out() -> Failure {
        Failure::new(Reason::Timeout, "the component did not answer in time", Map::new())
    }

    pub fn no_component(name: &str) -> Failure {
        let message = format!("there is no component {:?} here; see components/list", cut(name, 200));
        Failure::new(Reason::ComponentNotFound, &message, Map::new())
    }

    pub fn unreadable_input(error: &serde_json::Error) -> Failure {
        Failure::new(Reason::InputSchema, &format!("the input does not fit the component: {error}"), Map::new())
    }

    /// `max`: bytes of one message of the wire, which would not carry it, and perhaps nothing behind it.
    pub fn large_output(bytes: usize, max: usize) -> Failure {
        let message = format!("the output has {bytes} bytes, at most {max} are taken; store it as a blob and answer its id");
        let limit = json!({"limit": "output", "max": max, "actual": bytes});
        Failure::new(Reason::ComponentFailed, &message, limit.as_object().cloned().unwrap_or_default())
    }

    pub fn unwritable_output(error: &Error) -> Failure {
        Failure::new(Reason::InvalidValue, error.message(), Map::new())
    }

    /// Nobody caught it.
    pub fn panicked(panic: &(dyn Any + Send)) -> Failure {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("the component panicked: {}", text.unwrap_or("without a message"));
        Failure::new(Reason::ComponentFailed, &message, Map::from_iter([("type".to_owned(), "panic".into())]))
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        Failure::new(error.reason(), error.message(), error.details().clone())
    }
}

impl From<ComponentError> for Failure {
    fn from(error: ComponentError) -> Failure {
        let error = *error.0;
        let mut details = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                details.insert(name.to_owned(), value);
            }
        };
        add("type", error.kind.map(Value::from));
        add("code", error.code.map(Value::from));
        add("data", error.data);
        add("cause", error.cause.map(|reason| reason.as_str().into()));
        add("causes", (!error.causes.is_empty()).then(|| error.causes.into()));
        add("retryAfterMs", error.retry_after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).into()));
        Failure::new(error.reason, &error.message, details)
    }
}

/// At most so many bytes, with an ellipsis where something is missing.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(failure: &Failure) -> Value {
        failure.data.as_ref().unwrap().decode().unwrap()
    }

    #[test]
    fn an_authors_error_keeps_its_data_and_its_hint() {
        let error = ComponentError::unavailable("no room").with_data(json!({"a": 1})).retry_after(Duration::from_millis(1500));
        let failure = Failure::from(error.with_code("FULL"));
        assert_eq!((failure.code, failure.message.as_str()), (-32005, "no room"));
        let expected = json!({"reason": "RESOURCE_UNAVAILABLE", "domain": "flowspan", "code": "FULL", "data": {"a": 1},
            "retryAfterMs": 1500});
        assert_eq!(parsed(&failure), expected);
    }

    #[test]
    fn any_error_of_the_language_fails_the_component() {
        fn read() -> ComponentResult<u8> {
            Ok("x".parse::<u8>()?)
        }
        let failure = Failure::from(read().unwrap_err());
        assert_eq!((failure.code, failure.message.as_str()), (-32004, "invalid digit found in string"));
        let gateway = ComponentError::from(Error::new(Reason::RunNotFound, "no run"));
        assert_eq!(parsed(&gateway.into())["cause"], "RUN_NOT_FOUND");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let failure = Failure::from(ComponentError::new("é".repeat(5_000)).with_data("x".repeat(100_000)));
        assert!(failure.message.len() <= MAX_MESSAGE_BYTES && failure.message.ends_with('…'));
        assert_eq!(parsed(&failure)["data"]["truncated"], true);
    }
}
