#![doc = include_str!("../README.md")]
// Without the client there are only its values, which nobody makes then.
#![cfg_attr(not(feature = "client"), allow(dead_code, unused_imports))]

pub mod discovery;
mod error;
mod json;
mod retry;
mod status;
mod view;

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "server")]
mod idempotency;
#[cfg(feature = "server")]
mod server;

/// The generated messages and stubs of `flowspan.v1`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod v1 {
    include!("generated/flowspan.v1.rs");
}

pub use error::{Error, Reason, Result, grpc_code_name};
pub use json::RawJson;
pub use retry::RetryPolicy;
pub use view::{FlowError, ItemCounts, ItemResult, Outcome, ResultOrder, RunProgress, RunState, RunStatus};

#[cfg(feature = "client")]
pub use client::{
    Blob, BlobRef, BlobType, Client, ClientBuilder, Component, ComponentList, Diagnostic, Flow, FlowDocument, IntoInput,
    ItemFilter, Pages, Plugin, RetryOptions, RunFilter, SubmitOptions, TreeNews, TreeWatch, Watch, WatchOptions,
};
#[cfg(feature = "server")]
pub use idempotency::idempotency_token;
#[cfg(feature = "server")]
pub use server::{
    BlockingContext, BlockingWatch, ComponentError, ComponentResult, ComponentServer, Context, Facts, QUEUE_VARIABLE, Registration,
    RunWatch,
};

/// The release of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
