//! Statuses and results as JSON, as component servers get them over stdio.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::time::parse_rfc3339;
use super::{ItemCounts, ItemResult, Outcome, ResultsOmitted, RunProgress, RunStatus};
use crate::error::{Error, Result};
use crate::json::{self, RawJson};

#[derive(Deserialize)]
struct FlowResult {
    outcome: String,
    #[serde(default)]
    value: Option<RawJson>,
    #[serde(default)]
    error: Option<RawJson>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, rename = "blobId")]
    blob_id: Option<String>,
}

#[derive(Deserialize)]
struct ErrorCode {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    item_index: u64,
    result: FlowResult,
    #[serde(default)]
    completed_at: Option<String>,
    #[serde(default)]
    item_label: Option<String>,
    #[serde(default)]
    source_item_index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    run_id: String,
    flow_id: String,
    status: String,
    items: ItemCounts,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    flow_name: Option<String>,
    #[serde(default)]
    flow_label: Option<String>,
    #[serde(default)]
    completed_at: Option<String>,
    #[serde(default)]
    results: Option<Vec<Item>>,
    #[serde(default)]
    results_omitted: Option<ResultsOmitted>,
    #[serde(default)]
    as_of_seq: u64,
    #[serde(default)]
    root_run_id: Option<String>,
    #[serde(default)]
    parent_run_id: Option<String>,
    #[serde(default)]
    source_run_id: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    effective_max_concurrency: u64,
    #[serde(default)]
    cancel_reason: Option<String>,
    #[serde(default)]
    progress: Option<RunProgress>,
}

pub(crate) fn status_from_wire(data: &[u8]) -> Result<RunStatus> {
    let wire: Status = json::decode(data, "the gateway's RunStatus")?;
    let results = wire.results.map(|items| items.into_iter().map(item_from_wire).collect::<Result<Vec<_>>>()).transpose()?;
    Ok(RunStatus {
        status: wire.status.parse().map_err(|error: Error| Error::unreadable("the gateway's RunStatus", error.message()))?,
        root_run_id: wire.root_run_id.unwrap_or_else(|| wire.run_id.clone()),
        run_id: wire.run_id,
        flow_id: wire.flow_id,
        flow_name: wire.flow_name,
        flow_label: wire.flow_label,
        items: wire.items,
        created_at: wire.created_at.as_deref().and_then(parse_rfc3339),
        completed_at: wire.completed_at.as_deref().and_then(parse_rfc3339),
        results,
        as_of_seq: wire.as_of_seq,
        parent_run_id: wire.parent_run_id,
        source_run_id: wire.source_run_id,
        metadata: wire.metadata.unwrap_or_default(),
        max_concurrency: wire.effective_max_concurrency,
        cancel_reason: wire.cancel_reason,
        progress: wire.progress,
        results_omitted: wire.results_omitted,
    })
}

pub(crate) fn item_from_wire(wire: Item) -> Result<ItemResult> {
    let result = wire.result;
    let bytes = |raw: Option<RawJson>| raw.map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())).unwrap_or_default();
    let mut outcome: Outcome =
        result.outcome.parse().map_err(|error: Error| Error::unreadable("the gateway's item result", error.message()))?;
    let is_blob = result.blob_id.is_some();
    let payload = match (result.blob_id, outcome) {
        (Some(id), _) => Bytes::from(id),
        (None, Outcome::Success) => bytes(result.value),
        (None, Outcome::Skipped) => json::encode(&serde_json::json!({ "reason": result.reason }))?,
        (None, Outcome::Failed | Outcome::Cancelled) => {
            // An item that a cancel ended is a failed one on the wire; its code tells them apart.
            let error = bytes(result.error);
            if serde_json::from_slice::<ErrorCode>(&error).is_ok_and(|error| error.code == "CANCELLED") {
                outcome = Outcome::Cancelled;
            }
            error
        }
    };
    Ok(ItemResult {
        item_index: wire.item_index,
        outcome,
        completed_at: wire.completed_at.as_deref().and_then(parse_rfc3339),
        item_label: wire.item_label,
        source_item_index: wire.source_item_index,
        payload,
        is_blob,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::RunState;

    #[test]
    fn the_contracts_example_is_read() {
        let status = status_from_wire(
            br#"{"runId":"r","flowId":"sha256:f","status":"failed","items":{"total":2,"pending":0,"running":0,"success":1,"failed":1,
            "cancelled":0},"createdAt":"2026-11-22T16:12:38.892694Z","results":[{"itemIndex":0,"result":{"outcome":"success","value":
            2.0}},{"itemIndex":1,"result":{"outcome":"failed","error":{"code":"CANCELLED","message":"m","data":{"a":1}}}}],"news":1}"#,
        )
        .unwrap();
        assert_eq!((status.status, status.items.failed), (RunState::Failed, 1));
        assert_eq!(status.results()[0].raw(), Some(&b"2.0"[..]));
        assert_eq!(status.results()[1].outcome, Outcome::Cancelled);
        assert_eq!(status.results()[1].error().unwrap().data.unwrap().get(), r#"{"a":1}"#);
        assert!(status_from_wire(b"{}").is_err());
    }
}
