//! The one table of errors: what went wrong, its codes on both wires, and whether it helps to come back.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// The domain of our errors, on every wire.
pub(crate) const DOMAIN: &str = "flowspan";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $jsonrpc:literal, $grpc:ident;)*) => {
        /// The stable name of a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// As on the wire, such as `RUN_NOT_FOUND`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// The `error.code` of a JSON-RPC answer.
            pub fn jsonrpc_code(self) -> i32 {
                match self { $(Reason::$name => $jsonrpc,)* }
            }

            /// The status of a gRPC answer.
            pub fn grpc_code(self) -> tonic::Code {
                match self { $(Reason::$name => tonic::Code::$grpc,)* }
            }
        }
    };
}

reasons! {
    /// The bytes are not JSON that Flowspan accepts.
    ParseError = "PARSE_ERROR", -32700, InvalidArgument;
    /// The JSON is not a JSON-RPC 2.0 message.
    InvalidRequest = "INVALID_REQUEST", -32600, InvalidArgument;
    /// The peer has no such method.
    MethodNotFound = "METHOD_NOT_FOUND", -32601, Unimplemented;
    /// A parameter is missing, has the wrong type or is out of range.
    InvalidArgument = "INVALID_ARGUMENT", -32602, InvalidArgument;
    /// The blob does not compile as a flow; the diagnostics say why.
    FlowInvalid = "FLOW_INVALID", -32602, InvalidArgument;
    /// A bug in Flowspan; the incident id is in the log.
    Internal = "INTERNAL", -32603, Internal;
    /// No component server offers this component.
    ComponentNotFound = "COMPONENT_NOT_FOUND", -32001, NotFound;
    /// A request came before the handshake was done.
    NotInitialized = "NOT_INITIALIZED", -32002, FailedPrecondition;
    /// The input violates its JSON Schema, or does not fit the component's type.
    InputSchema = "INPUT_SCHEMA", -32003, InvalidArgument;
    /// The component answered with an error.
    ComponentFailed = "COMPONENT_FAILED", -32004, Internal;
    /// The component server, or something that the component needs, cannot be used.
    ResourceUnavailable = "RESOURCE_UNAVAILABLE", -32005, Unavailable;
    /// The answer did not come in time.
    Timeout = "TIMEOUT", -32006, DeadlineExceeded;
    /// The caller may not do this.
    PermissionDenied = "PERMISSION_DENIED", -32007, PermissionDenied;
    /// The call carries no valid token.
    Unauthenticated = "UNAUTHENTICATED", -32007, Unauthenticated;
    /// There is no blob with this id.
    BlobNotFound = "BLOB_NOT_FOUND", -32008, NotFound;
    /// An expression of the flow has no value.
    ExpressionFailure = "EXPRESSION_FAILURE", -32009, FailedPrecondition;
    /// A value cannot be written as JSON.
    InvalidValue = "INVALID_VALUE", -32011, InvalidArgument;
    /// There is no such object.
    NotFound = "NOT_FOUND", -32012, NotFound;
    /// There is no run with this id.
    RunNotFound = "RUN_NOT_FOUND", -32012, NotFound;
    /// There is no flow with this id.
    FlowNotFound = "FLOW_NOT_FOUND", -32012, NotFound;
    /// A fixed limit was exceeded; the details name it.
    LimitExceeded = "LIMIT_EXCEEDED", -32013, InvalidArgument;
    /// A configurable quota is used up.
    QuotaExceeded = "QUOTA_EXCEEDED", -32013, ResourceExhausted;
    /// Too much at once; repeat after `retryAfterMs`.
    Overloaded = "OVERLOADED", -32014, ResourceExhausted;
    /// The request id was used for a different request.
    IdempotencyConflict = "IDEMPOTENCY_CONFLICT", -32015, AlreadyExists;
    /// The run was cancelled.
    Cancelled = "CANCELLED", -32016, Cancelled;
    /// The disk is full; nothing was applied.
    StorageFull = "STORAGE_FULL", -32017, ResourceExhausted;
    /// The store failed; whether the call was applied is unknown.
    StorageFailed = "STORAGE_FAILED", -32017, Internal;
    /// Bytes do not have the hash that they are named by.
    HashMismatch = "HASH_MISMATCH", -32018, DataLoss;
    /// Sub-runs nest too deep, or runs wait for each other in a circle.
    RecursionLimit = "RECURSION_LIMIT", -32019, FailedPrecondition;
    /// The component server's process ended during the call.
    PluginCrashed = "PLUGIN_CRASHED", -32020, Unavailable;
    /// The component server broke the protocol.
    PluginProtocol = "PLUGIN_PROTOCOL", -32021, Unavailable;
    /// The gateway cannot be reached, or is starting, recovering or stopping.
    Unavailable = "UNAVAILABLE", -32022, Unavailable;
    /// Another gateway owns this run now.
    Fenced = "FENCED", -32023, Aborted;
    /// The cursor is older than what is kept.
    CursorExpired = "CURSOR_EXPIRED", -32012, OutOfRange;
    /// The object is not in a state that allows this.
    FailedPrecondition = "FAILED_PRECONDITION", -32012, FailedPrecondition;
    /// The caller cancelled this request.
    RequestCancelled = "REQUEST_CANCELLED", -32800, Cancelled;
}

impl Reason {
    /// The reason of this name, if this release knows it.
    pub fn from_name(name: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == name)
    }

    /// The first reason of the table for a JSON-RPC code.
    #[cfg(feature = "server")]
    pub(crate) fn of_jsonrpc_code(code: i64) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| i64::from(reason.jsonrpc_code()) == code)
    }

    /// What a status means that no gateway explained: it comes from gRPC itself, a proxy or another server.
    pub(crate) fn of_grpc_code(code: tonic::Code) -> Reason {
        use tonic::Code;
        match code {
            Code::Cancelled => Reason::RequestCancelled,
            Code::InvalidArgument => Reason::InvalidArgument,
            Code::DeadlineExceeded => Reason::Timeout,
            Code::NotFound => Reason::NotFound,
            Code::AlreadyExists => Reason::IdempotencyConflict,
            Code::PermissionDenied => Reason::PermissionDenied,
            Code::ResourceExhausted => Reason::QuotaExceeded,
            Code::FailedPrecondition => Reason::FailedPrecondition,
            Code::Aborted => Reason::Fenced,
            Code::OutOfRange => Reason::CursorExpired,
            Code::Unimplemented => Reason::MethodNotFound,
            Code::Unavailable => Reason::Unavailable,
            Code::DataLoss => Reason::HashMismatch,
            Code::Unauthenticated => Reason::Unauthenticated,
            Code::Ok | Code::Unknown | Code::Internal => Reason::Internal,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The canonical name of a gRPC status, such as `NOT_FOUND`.
pub fn grpc_code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What a call ends with instead of an answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that could not be served. An item that fails is no error: it is a result ([`crate::ItemResult::error`]).
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    reason: Reason,
    message: String,
    details: Map<String, Value>,
    from_peer: bool,
}

impl Error {
    /// An error of this side.
    pub fn new(reason: Reason, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { reason, message: message.into(), details: Map::new(), from_peer: false }))
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Error {
        Error::new(Reason::InvalidArgument, message).with("field", field)
    }

    pub(crate) fn unreadable(what: &str, why: impl fmt::Display) -> Error {
        Error::new(Reason::ParseError, format!("{what} cannot be read: {why}"))
    }

    /// With one more detail.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Error {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn peer(mut self, details: Map<String, Value>) -> Error {
        self.0.details = details;
        self.0.from_peer = true;
        self
    }

    /// What kind of failure it is.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// For people; names the place and the remedy.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// For machines: `limit`, `retryAfterMs`, `runId`, `afterSeq`, `diagnostics`, …
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// Whether the gateway said so, or it was inferred on this side (a time-out, a lost connection).
    pub fn from_peer(&self) -> bool {
        self.0.from_peer
    }

    /// Whether the same call may succeed a moment later: the peer was not there, or asked to come back.
    pub fn retryable(&self) -> bool {
        match self.reason().grpc_code() {
            tonic::Code::Unavailable => true,
            tonic::Code::ResourceExhausted => self.retry_after().is_some(),
            _ => false,
        }
    }

    /// When the peer said to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        let milliseconds = self.0.details.get("retryAfterMs")?.as_f64()?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
    }

    /// The cursor to resume from, for an error of a watch.
    pub fn after_seq(&self) -> Option<u64> {
        self.0.details.get("afterSeq")?.as_u64()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::from_name("NO_SUCH"), None);
    }

    #[test]
    fn retries_follow_the_status_and_the_hint() {
        assert!(Error::new(Reason::Unavailable, "").retryable());
        assert!(!Error::new(Reason::Overloaded, "").retryable());
        let hinted = Error::new(Reason::Overloaded, "").with("retryAfterMs", 250);
        assert!(hinted.retryable());
        assert_eq!(hinted.retry_after(), Some(Duration::from_millis(250)));
        assert!(!Error::new(Reason::RunNotFound, "").retryable());
    }
}
