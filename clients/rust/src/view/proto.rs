//! From generated messages to the values that users see.

use std::time::SystemTime;

use bytes::Bytes;

use super::{FlowError, ItemCounts, ItemResult, Outcome, ResultsOmitted, RunProgress, RunState, RunStatus};
use crate::error::{Error, Reason, Result};
use crate::json::{self, RawJson};
use crate::v1;

pub(crate) fn timestamp(moment: Option<prost_types::Timestamp>) -> Option<SystemTime> {
    moment.and_then(|moment| SystemTime::try_from(moment).ok())
}

/// Bytes, and whether they are the id of a blob that holds the value.
pub(crate) fn blob_or_json(value: Option<v1::JsonValue>) -> (Bytes, bool) {
    match value.and_then(|value| value.kind) {
        Some(v1::json_value::Kind::Json(json)) => (json, false),
        Some(v1::json_value::Kind::BlobId(id)) => (Bytes::from(id), true),
        None => (Bytes::from_static(b"null"), false),
    }
}

fn unknown(what: &str, number: i32) -> Error {
    Error::new(Reason::ParseError, format!("the gateway's {what} {number} is not known to this release"))
}

impl TryFrom<v1::ItemResult> for ItemResult {
    type Error = Error;

    fn try_from(message: v1::ItemResult) -> Result<ItemResult> {
        let result = message.result.unwrap_or_default();
        let mut outcome = Outcome::from_number(result.outcome).ok_or_else(|| unknown("outcome", result.outcome))?;
        let (payload, is_blob) = match outcome {
            Outcome::Success => blob_or_json(result.value),
            Outcome::Skipped => (json::encode(&serde_json::json!({ "reason": result.reason }))?, false),
            Outcome::Failed | Outcome::Cancelled => {
                let error = result.error.unwrap_or_default();
                if error.code == "CANCELLED" {
                    outcome = Outcome::Cancelled;
                }
                let data = match error.data {
                    Some(data) => {
                        std::str::from_utf8(&blob_or_json(Some(data)).0).ok().and_then(|text| text.parse::<RawJson>().ok())
                    }
                    None => None,
                };
                (json::encode(&FlowError { code: error.code, message: error.message, data })?, false)
            }
        };
        Ok(ItemResult {
            item_index: message.item_index,
            outcome,
            completed_at: timestamp(message.completed_at),
            item_label: message.item_label,
            source_item_index: message.source_item_index,
            payload,
            is_blob,
        })
    }
}

impl RunStatus {
    /// `with_results`: they were asked for, so an empty list is a list.
    pub(crate) fn from_message(message: v1::RunStatus, with_results: bool) -> Result<RunStatus> {
        let status = RunState::from_number(message.status).ok_or_else(|| unknown("run status", message.status))?;
        let omitted = message.results_omitted.map(|omitted| ResultsOmitted { count: omitted.count, next: omitted.next });
        let has_results = !message.results.is_empty() || (with_results && omitted.is_none());
        let results: Vec<ItemResult> = message.results.into_iter().map(ItemResult::try_from).collect::<Result<_>>()?;
        let items = message.items.unwrap_or_default();
        Ok(RunStatus {
            root_run_id: if message.root_run_id.is_empty() { message.run_id.clone() } else { message.root_run_id },
            run_id: message.run_id,
            flow_id: message.flow_id,
            flow_name: message.flow_name,
            flow_label: message.flow_label,
            status,
            items: ItemCounts {
                total: items.total,
                pending: items.pending,
                running: items.running,
                success: items.success,
                failed: items.failed,
                cancelled: items.cancelled,
            },
            created_at: timestamp(message.created_at),
            completed_at: timestamp(message.completed_at),
            results: has_results.then_some(results),
            as_of_seq: message.as_of_seq,
            parent_run_id: message.parent_run_id,
            source_run_id: message.source_run_id,
            metadata: message.metadata,
            max_concurrency: message.effective_max_concurrency.into(),
            cancel_reason: message.cancel_reason,
            progress: message.progress.map(|progress| RunProgress {
                rate_per_second: progress.rate_per_second,
                eta_seconds: progress.eta_seconds,
                waiting_for: progress.waiting_for,
            }),
            results_omitted: omitted,
        })
    }

    pub(crate) fn of_answer(message: Option<v1::RunStatus>) -> Result<RunStatus> {
        RunStatus::from_message(message.ok_or_else(|| Error::unreadable("the gateway's answer", "it has no run"))?, false)
    }
}
