//! A run to be submitted, from values to messages.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Reason, Result};
use crate::json::{self, RawJson};
use crate::retry::new_id;
use crate::v1;

/// More inputs than this are streamed: one message would keep the gateway busy for tens of milliseconds.
pub(crate) const UNARY_MAX_INPUTS: usize = 5_000;
/// Inputs of a message end here; larger ones stall the messages of other calls.
pub(crate) const MESSAGE_BYTES: usize = 1024 * 1024;
const UNARY_MAX_BYTES: usize = 4 * MESSAGE_BYTES;

/// A flow: the id of a stored one, or a document, which is stored first.
#[derive(Clone, Debug)]
pub enum FlowDocument {
    /// A stored flow. Texts convert to this.
    Id(String),
    /// JSON. [`serde_json::Value`] and [`RawJson`] convert to this.
    Json(Bytes),
    /// YAML.
    Yaml(Bytes),
}

impl FlowDocument {
    /// A file: YAML where its name ends with `.yaml` or `.yml`, else JSON.
    pub fn file(path: impl AsRef<Path>) -> Result<FlowDocument> {
        let path = path.as_ref();
        let text = std::fs::read(path)
            .map_err(|error| Error::invalid("flow", format!("{} cannot be read: {error}", path.display())))?
            .into();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Ok(FlowDocument::Yaml(text)),
            _ => Ok(FlowDocument::Json(text)),
        }
    }

    pub(crate) fn request(self) -> v1::StoreFlowRequest {
        let (document, format) = match self {
            FlowDocument::Json(text) => (text, v1::DocumentFormat::Json),
            FlowDocument::Yaml(text) => (text, v1::DocumentFormat::Yaml),
            // Whoever stores a text means a document.
            FlowDocument::Id(text) => (text.into(), v1::DocumentFormat::Unspecified),
        };
        v1::StoreFlowRequest { document, format: format as i32, dry_run: false }
    }
}

impl From<&str> for FlowDocument {
    fn from(id: &str) -> FlowDocument {
        FlowDocument::Id(id.to_owned())
    }
}

impl From<String> for FlowDocument {
    fn from(id: String) -> FlowDocument {
        FlowDocument::Id(id)
    }
}

impl From<&String> for FlowDocument {
    fn from(id: &String) -> FlowDocument {
        FlowDocument::Id(id.clone())
    }
}

impl From<Value> for FlowDocument {
    fn from(document: Value) -> FlowDocument {
        FlowDocument::Json(document.to_string().into())
    }
}

impl From<&Value> for FlowDocument {
    fn from(document: &Value) -> FlowDocument {
        FlowDocument::Json(document.to_string().into())
    }
}

impl From<RawJson> for FlowDocument {
    fn from(document: RawJson) -> FlowDocument {
        FlowDocument::Json(document.get().to_owned().into())
    }
}

/// As an input: the value is what the blob holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef(
    /// The blob's id.
    pub String,
);

/// What can be the input of an item: everything that serde writes, [`RawJson`] as it stands, and [`BlobRef`].
pub trait IntoInput {
    #[doc(hidden)]
    fn into_input(self) -> Result<v1::JsonValue>;
}

impl<T: Serialize> IntoInput for T {
    fn into_input(self) -> Result<v1::JsonValue> {
        Ok(json_value(json::encode(&self)?))
    }
}

impl IntoInput for BlobRef {
    fn into_input(self) -> Result<v1::JsonValue> {
        Ok(v1::JsonValue { kind: Some(v1::json_value::Kind::BlobId(self.0)) })
    }
}

pub(crate) fn json_value(json: Bytes) -> v1::JsonValue {
    v1::JsonValue { kind: Some(v1::json_value::Kind::Json(json)) }
}

pub(crate) fn size_of(value: &v1::JsonValue) -> usize {
    match &value.kind {
        Some(v1::json_value::Kind::Json(json)) => json.len(),
        _ => 0,
    }
}

/// Everything about a run but its flow and its inputs.
#[derive(Clone, Debug, Default)]
pub struct SubmitOptions {
    max_concurrency: Option<i64>,
    overrides: Option<Result<RawJson>>,
    variables: Option<Result<RawJson>>,
    flow_label: Option<String>,
    metadata: BTreeMap<String, String>,
    pub(crate) item_labels: Vec<String>,
    deadline: Option<Duration>,
    detached: bool,
    request_id: Option<String>,
    task_token: Option<String>,
    traceparent: Option<String>,
}

impl SubmitOptions {
    /// Nothing said.
    pub fn new() -> SubmitOptions {
        SubmitOptions::default()
    }

    /// Bound on items running at once, at least 1; default 10.
    pub fn max_concurrency(mut self, items: i64) -> SubmitOptions {
        self.max_concurrency = Some(items);
        self
    }

    /// Overrides of the flow's steps: an object.
    pub fn overrides(mut self, overrides: &impl Serialize) -> SubmitOptions {
        self.overrides = Some(RawJson::of(overrides));
        self
    }

    /// Values of the flow's variables: an object.
    pub fn variables(mut self, variables: &impl Serialize) -> SubmitOptions {
        self.variables = Some(RawJson::of(variables));
        self
    }

    /// Label of the run; comes back as [`crate::RunStatus::flow_label`].
    pub fn flow_label(mut self, label: impl Into<String>) -> SubmitOptions {
        self.flow_label = Some(label.into());
        self
    }

    /// One more piece of metadata; a filter of `list_runs`.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> SubmitOptions {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// One per input.
    pub fn item_labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> SubmitOptions {
        self.item_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The run is cancelled when it has not ended by then.
    pub fn deadline(mut self, after: Duration) -> SubmitOptions {
        self.deadline = Some(after);
        self
    }

    /// A sub-run that goes on when its parent is cancelled.
    pub fn detached(mut self) -> SubmitOptions {
        self.detached = true;
        self
    }

    /// Makes the call safe to repeat by you. Without it each call has a new one, for our own retries.
    pub fn request_id(mut self, id: impl Into<String>) -> SubmitOptions {
        self.request_id = Some(id.into());
        self
    }

    /// The execution that submits the run.
    pub fn task_token(mut self, token: impl Into<String>) -> SubmitOptions {
        self.task_token = Some(token.into());
        self
    }

    /// W3C trace context.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> SubmitOptions {
        self.traceparent = Some(traceparent.into());
        self
    }

    pub(crate) fn header(&self, flow_id: String) -> Result<v1::RunOptions> {
        let value = |given: &Option<Result<RawJson>>| -> Result<Option<v1::JsonValue>> {
            Ok(given.clone().transpose()?.map(|raw| json_value(raw.get().to_owned().into())))
        };
        let deadline = self.deadline.map(prost_types::Duration::try_from).transpose();
        Ok(v1::RunOptions {
            flow_id,
            max_concurrency: self.max_concurrency,
            overrides: value(&self.overrides)?,
            variables: value(&self.variables)?,
            flow_label: self.flow_label.clone(),
            metadata: self.metadata.clone(),
            item_labels: self.item_labels.clone(),
            deadline: deadline.map_err(|_| Error::new(Reason::InvalidArgument, "the deadline is too far away"))?,
            detached: self.detached,
            request_id: match (&self.request_id, &self.task_token) {
                (Some(id), _) => id.clone(),
                // The gateway knows a sub-run by its parent's execution: a repeated attempt finds it again.
                (None, Some(_)) => String::new(),
                (None, None) => new_id(),
            },
            task_token: self.task_token.clone().unwrap_or_default(),
            traceparent: self.traceparent.clone().unwrap_or_default(),
        })
    }

    /// As members of `runs/submit`.
    #[cfg(feature = "server")]
    pub(crate) fn members(&self) -> Result<Vec<(&'static str, RawJson)>> {
        fn add<T: Serialize>(members: &mut Vec<(&'static str, RawJson)>, name: &'static str, value: Option<T>) -> Result<()> {
            if let Some(value) = value {
                members.push((name, RawJson::of(&value)?));
            }
            Ok(())
        }
        let mut members = Vec::new();
        add(&mut members, "maxConcurrency", self.max_concurrency)?;
        add(&mut members, "overrides", self.overrides.clone().transpose()?)?;
        add(&mut members, "variables", self.variables.clone().transpose()?)?;
        add(&mut members, "flowLabel", self.flow_label.as_ref())?;
        add(&mut members, "metadata", (!self.metadata.is_empty()).then_some(&self.metadata))?;
        add(&mut members, "itemLabels", (!self.item_labels.is_empty()).then_some(&self.item_labels))?;
        add(&mut members, "deadlineSecs", self.deadline.map(|deadline| deadline.as_secs_f64()))?;
        add(&mut members, "detached", self.detached.then_some(true))?;
        add(&mut members, "requestId", self.request_id.as_ref())?;
        Ok(members)
    }
}

/// The inputs of a submit, encoded: in one message, or in many.
pub(crate) enum Encoded {
    Whole(Vec<v1::JsonValue>),
    Streamed(Vec<Vec<v1::JsonValue>>),
}

pub(crate) fn encode_inputs<I>(inputs: I) -> Result<Encoded>
where
    I: IntoIterator,
    I::Item: IntoInput,
{
    Ok(split(inputs.into_iter().map(IntoInput::into_input).collect::<Result<_>>()?))
}

pub(crate) fn split(inputs: Vec<v1::JsonValue>) -> Encoded {
    if inputs.len() <= UNARY_MAX_INPUTS && inputs.iter().map(size_of).sum::<usize>() <= UNARY_MAX_BYTES {
        return Encoded::Whole(inputs);
    }
    Encoded::Streamed(chunks(inputs))
}

/// In messages of a sensible size.
fn chunks(inputs: Vec<v1::JsonValue>) -> Vec<Vec<v1::JsonValue>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut size) = (Vec::new(), 0);
    for value in inputs {
        size += size_of(&value);
        chunk.push(value);
        if size >= MESSAGE_BYTES || chunk.len() >= UNARY_MAX_INPUTS {
            chunks.push(std::mem::take(&mut chunk));
            size = 0;
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_inputs_go_whole_and_many_or_large_ones_streamed() {
        assert!(matches!(encode_inputs(0..5_000).unwrap(), Encoded::Whole(all) if all.len() == 5_000));
        let Encoded::Streamed(chunks) = encode_inputs(0..12_001).unwrap() else { panic!("not streamed") };
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [5_000, 5_000, 2_001]);
        let large = vec!["x".repeat(600_000); 10];
        let Encoded::Streamed(chunks) = encode_inputs(&large).unwrap() else { panic!("not streamed") };
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [2; 5]);
    }

    #[test]
    fn inputs_may_be_values_texts_and_references() {
        let raw: RawJson = "1.50".parse().unwrap();
        assert_eq!(size_of(&raw.into_input().unwrap()), 4);
        let reference = BlobRef("sha256:x".to_owned()).into_input().unwrap();
        assert_eq!(reference.kind, Some(v1::json_value::Kind::BlobId("sha256:x".to_owned())));
    }

    #[test]
    fn each_submit_has_a_request_id() {
        let options = SubmitOptions::new();
        assert_ne!(options.header(String::new()).unwrap().request_id, options.header(String::new()).unwrap().request_id);
        let own = SubmitOptions::new().request_id("mine").deadline(Duration::from_millis(1500));
        let header = own.header("f".to_owned()).unwrap();
        assert_eq!((header.request_id.as_str(), header.deadline.unwrap().nanos), ("mine", 500_000_000));
    }
}
