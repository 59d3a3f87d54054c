//! What a run looks like from outside: plain values, the same over every wire.

mod fold;
mod proto;
mod time;
#[cfg(feature = "server")]
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};
use crate::json::{self, RawJson};

pub(crate) use fold::RunFold;
pub(crate) use proto::blob_or_json;
#[cfg(feature = "server")]
pub(crate) use wire::{item_from_wire, status_from_wire};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $message:path { $($(#[$member_doc:meta])* $member:ident = $word:literal, $proto:ident;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$member_doc])* $member,)*
        }

        impl $name {
            /// The contract's word.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$member => $word,)* }
            }

            pub(crate) fn number(self) -> i32 {
                use $message as message;
                match self { $($name::$member => message::$proto as i32,)* }
            }

            #[allow(dead_code)]
            pub(crate) fn from_number(number: i32) -> Option<$name> {
                use $message as message;
                match message::try_from(number).ok()? {
                    $(message::$proto => Some($name::$member),)*
                    _ => None,
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<$name> {
                match word {
                    $($word => Ok($name::$member),)*
                    _ => {
                        let known = [$($word),*].join(", ");
                        Err(Error::new(Reason::InvalidArgument, format!("{word:?} is none of {known}")))
                    }
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a run stands. Final from `Success` on.
    RunState: crate::v1::run_status::Status {
        /// Accepted; no item has started.
        Pending = "pending", RunStatusPending;
        /// At least one item has started.
        Running = "running", RunStatusRunning;
        /// Every item succeeded or was skipped.
        Success = "success", RunStatusSuccess;
        /// At least one item failed.
        Failed = "failed", RunStatusFailed;
        /// The run was cancelled before its end.
        Cancelled = "cancelled", RunStatusCancelled;
    }
}

words! {
    /// How an item ended.
    Outcome: crate::v1::Outcome {
        /// It has a value.
        Success = "success", Success;
        /// It has an error.
        Failed = "failed", Failed;
        /// The flow skipped it; it counts as a success.
        Skipped = "skipped", Skipped;
        /// It had started when its run was cancelled.
        Cancelled = "cancelled", Cancelled;
    }
}

words! {
    /// The order of item results.
    ResultOrder: crate::v1::ResultOrder {
        /// By item index, rising.
        ByIndex = "byIndex", ByIndex;
        /// In the order in which the items completed, which is the order of the log.
        ByCompletion = "byCompletion", ByCompletion;
    }
}

impl RunState {
    /// Whether nothing will change any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, RunState::Success | RunState::Failed | RunState::Cancelled)
    }
}

/// How many items are where; `total` is the sum of the others, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts {
    /// All items of the run.
    pub total: u64,
    /// Items that have not started.
    pub pending: u64,
    /// Items that run; one whose component waits for a sub-run still runs.
    pub running: u64,
    /// Items that succeeded or were skipped.
    pub success: u64,
    /// Items that failed.
    pub failed: u64,
    /// Items that a cancel ended or kept from starting.
    pub cancelled: u64,
}

/// Why a step or an item failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlowError {
    /// `TIMEOUT`, `INVALID_INPUT`, `COMPONENT_FAILED`, `CANCELLED`, `UNREACHABLE`, …
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// For machines, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for FlowError {}

/// The result of one item.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ItemResult {
    /// Position of the item in the run's inputs, from 0.
    pub item_index: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When the result was recorded.
    pub completed_at: Option<SystemTime>,
    /// The item's label, if one was given at submit.
    pub item_label: Option<String>,
    /// In a retry of another run: the item's index there.
    pub source_item_index: Option<u64>,
    /// As in an event: the value, the error, or `{"reason": …}`; or the id of a blob that holds it.
    pub(crate) payload: Bytes,
    pub(crate) is_blob: bool,
}

#[derive(Deserialize)]
struct Skipped {
    #[serde(default)]
    reason: Option<String>,
}

impl ItemResult {
    /// The flow's output as JSON bytes, exactly as it was recorded; None unless the item succeeded.
    pub fn raw(&self) -> Option<&[u8]> {
        (self.outcome == Outcome::Success).then_some(&self.payload[..])
    }

    /// The flow's output. For an item without one: its error.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        match self.raw() {
            Some(raw) => json::decode(raw, "the item's value"),
            None => {
                let why = match self.error() {
                    Some(error) => error.to_string(),
                    None => "it was skipped".to_owned(),
                };
                let message = format!("item {} has no value: {why}", self.item_index);
                Err(Error::new(Reason::ComponentFailed, message).with("itemIndex", self.item_index))
            }
        }
    }

    /// Why the item failed or was cancelled; None if it did not.
    pub fn error(&self) -> Option<FlowError> {
        if !matches!(self.outcome, Outcome::Failed | Outcome::Cancelled) {
            return None;
        }
        Some(serde_json::from_slice(&self.payload).unwrap_or_else(|_| {
            let (code, message) = match self.outcome {
                Outcome::Cancelled => ("CANCELLED", "the run was cancelled"),
                _ => ("COMPONENT_FAILED", "the gateway gave no error that can be read"),
            };
            FlowError { code: code.to_owned(), message: message.to_owned(), data: None }
        }))
    }

    /// Why the item was skipped, if the flow says so.
    pub fn reason(&self) -> Option<String> {
        if self.outcome != Outcome::Skipped {
            return None;
        }
        serde_json::from_slice::<Skipped>(&self.payload).ok()?.reason
    }

    /// The blob that holds the payload, where it was not read.
    pub(crate) fn blob_id(&self) -> Option<&str> {
        if self.is_blob { std::str::from_utf8(&self.payload).ok() } else { None }
    }
}

/// Results were asked for and did not fit into one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ResultsOmitted {
    /// How many there are.
    pub count: u64,
    /// The first index that was left out.
    pub next: u64,
}

/// Speed of a run; the only part of a status that is not durable fact.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct RunProgress {
    /// Items completed per second, over the last seconds.
    pub rate_per_second: f64,
    /// Seconds until the run ends at that rate, if known.
    pub eta_seconds: Option<f64>,
    /// Why items wait, if something keeps them from running.
    pub waiting_for: Vec<String>,
}

/// The state of a run as of event `as_of_seq`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunStatus {
    /// The run.
    pub run_id: String,
    /// Blob id of its flow.
    pub flow_id: String,
    /// Name of the flow, if it has one.
    pub flow_name: Option<String>,
    /// The label given at submit, if any.
    pub flow_label: Option<String>,
    /// Where it stands.
    pub status: RunState,
    /// How many items are where.
    pub items: ItemCounts,
    /// When it was accepted.
    pub created_at: Option<SystemTime>,
    /// When it ended, if it has.
    pub completed_at: Option<SystemTime>,
    /// The results, if they were asked for.
    pub results: Option<Vec<ItemResult>>,
    /// The status is a fold of the events up to this one.
    pub as_of_seq: u64,
    /// The run at the top of its tree.
    pub root_run_id: String,
    /// The run whose component submitted it, if any.
    pub parent_run_id: Option<String>,
    /// The run whose items it retries, if any.
    pub source_run_id: Option<String>,
    /// What was given at submit.
    pub metadata: BTreeMap<String, String>,
    /// The bound on items running at once, after defaults and clamping; 0: not known.
    pub max_concurrency: u64,
    /// Why it was cancelled, if it was.
    pub cancel_reason: Option<String>,
    /// Its speed.
    pub progress: Option<RunProgress>,
    pub(crate) results_omitted: Option<ResultsOmitted>,
}

impl RunStatus {
    /// Whether nothing will change any more.
    pub fn is_terminal(&self) -> bool {
        self.status.is_terminal()
    }

    /// The results that are here; none where they were not asked for.
    pub fn results(&self) -> &[ItemResult] {
        self.results.as_deref().unwrap_or_default()
    }

    /// This status, if no item failed and the run was not cancelled; else an error that names the first failure.
    pub fn error_for_failures(self) -> Result<RunStatus> {
        let (reason, message) = match self.status {
            RunState::Cancelled => {
                let why = self.cancel_reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                (Reason::Cancelled, format!("run {} was cancelled{why}", self.run_id))
            }
            RunState::Failed => {
                let first = self.results().iter().find(|item| item.outcome == Outcome::Failed);
                let first = first.and_then(|item| Some(format!("; item {}: {}", item.item_index, item.error()?)));
                let message = format!("{} of {} items of run {} failed", self.items.failed, self.items.total, self.run_id);
                (Reason::ComponentFailed, message + &first.unwrap_or_default())
            }
            _ => return Ok(self),
        };
        Err(Error::new(reason, message).with("runId", self.run_id))
    }
}

/// Sorted as asked.
pub(crate) fn in_order(mut results: Vec<ItemResult>, order: ResultOrder) -> Vec<ItemResult> {
    match order {
        ResultOrder::ByIndex => results.sort_by_key(|result| result.item_index),
        ResultOrder::ByCompletion => results.sort_by_key(|result| (result.completed_at, result.item_index)),
    }
    results
}
