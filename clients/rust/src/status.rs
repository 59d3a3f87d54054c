//! gRPC statuses with `google.rpc` details, as errors of the table.

use prost::Message;
use serde_json::{Map, Value};

use crate::error::{DOMAIN, Error, Reason, grpc_code_name};

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        let message = if status.message().is_empty() { grpc_code_name(status.code()) } else { status.message() };
        let Some((info, mut details)) = read_details(status.details()) else {
            let reason = match status.code() {
                tonic::Code::Cancelled if status.message().contains("Timeout expired") => Reason::Timeout,
                // Not by us (nobody would be left to read it), and a gateway would say why: it stops.
                tonic::Code::Cancelled => Reason::Unavailable,
                // A status with a cause was made on this side: the connection broke.
                tonic::Code::Unknown | tonic::Code::Internal if std::error::Error::source(&status).is_some() => Reason::Unavailable,
                code => Reason::of_grpc_code(code),
            };
            return Error::new(reason, message).with("grpcCode", grpc_code_name(status.code()));
        };
        let reason = Reason::from_name(&info).unwrap_or_else(|| {
            // A newer gateway: the status says at least what kind of failure it is.
            details.insert("peerReason".to_owned(), info.clone().into());
            Reason::of_grpc_code(status.code())
        });
        Error::new(reason, message).peer(details)
    }
}

fn read_details(details: &[u8]) -> Option<(String, Map<String, Value>)> {
    let mut reason = None;
    let mut facts = Map::new();
    for any in RpcStatus::decode(details).ok()?.details {
        match any.type_url.rsplit('/').next()? {
            "google.rpc.ErrorInfo" => {
                let info = ErrorInfo::decode(&any.value[..]).ok().filter(|info| info.domain == DOMAIN);
                if let Some(info) = info {
                    reason = Some(info.reason);
                    // Texts are as they are, everything else is JSON.
                    let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
                    facts.extend(info.metadata.into_iter().map(|(name, text)| (name, read(text))));
                }
            }
            "google.rpc.BadRequest" => {
                let violations = BadRequest::decode(&any.value[..]).ok()?.field_violations;
                if let Some(violation) = violations.into_iter().next() {
                    facts.entry("field").or_insert(violation.field.into());
                }
            }
            "google.rpc.RetryInfo" => {
                if let Some(delay) = RetryInfo::decode(&any.value[..]).ok()?.retry_delay {
                    let milliseconds = delay.seconds * 1000 + i64::from(delay.nanos / 1_000_000);
                    facts.entry("retryAfterMs").or_insert(milliseconds.into());
                }
            }
            _ => {}
        }
    }
    Some((reason?, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed<M: Message>(name: &str, message: &M) -> prost_types::Any {
        prost_types::Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec() }
    }

    #[test]
    fn a_gateways_error_is_told_by_its_reason() {
        let metadata = [("limit", "items"), ("max", "5"), ("note", "\"6\"")];
        let info = ErrorInfo {
            reason: "OVERLOADED".to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: metadata.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
        };
        let field = BadRequest { field_violations: vec![FieldViolation { field: "inputs".to_owned() }] };
        let retry = RetryInfo { retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }) };
        let details = vec![packed("ErrorInfo", &info), packed("BadRequest", &field), packed("RetryInfo", &retry)];
        let bytes = RpcStatus { details }.encode_to_vec();
        let error = Error::from(tonic::Status::with_details(tonic::Code::ResourceExhausted, "busy", bytes.into()));
        assert_eq!((error.reason(), error.message(), error.from_peer()), (Reason::Overloaded, "busy", true));
        assert_eq!(error.details()["max"], serde_json::json!(5));
        assert_eq!(error.details()["note"], "6");
        assert_eq!(error.details()["field"], "inputs");
        assert_eq!(error.details()["retryAfterMs"], serde_json::json!(1500));
        assert!(error.retryable());
    }

    #[test]
    fn others_are_told_by_their_code() {
        let error = Error::from(tonic::Status::not_found("no such host"));
        assert_eq!((error.reason(), error.from_peer()), (Reason::NotFound, false));
        let broken: Box<dyn std::error::Error + Send + Sync> = std::io::Error::other("broken pipe").into();
        assert!(Error::from(tonic::Status::from_error(broken)).retryable());
        assert_eq!(Error::from(tonic::Status::cancelled("Timeout expired")).reason(), Reason::Timeout);
    }
}
