//! From events to a run's state. Any prefix of a log folded, and the rest folded onto it, equals the whole folded.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;

use super::proto::timestamp;
use super::time::parse_rfc3339;
use super::{ItemCounts, ItemResult, Outcome, RunState, RunStatus};
use crate::error::{Error, Reason, Result};
use crate::v1::{EventKind, Segment};

/// What never changes about a run: the payload of its first event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    run_id: String,
    flow_id: String,
    #[serde(default)]
    flow_name: Option<String>,
    #[serde(default)]
    flow_label: Option<String>,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    created_at_us: Option<u64>,
    #[serde(default)]
    max_concurrency: u64,
    #[serde(default)]
    root_run_id: Option<String>,
    #[serde(default)]
    parent_run_id: Option<String>,
    #[serde(default)]
    source_run_id: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// State of a run after the segments that were given so far.
#[derive(Default)]
pub(crate) struct RunFold {
    pub through_seq: u64,
    description: Option<Description>,
    state: Option<RunState>,
    completed_at: Option<SystemTime>,
    cancel_reason: Option<String>,
    started: u64,
    success: u64,
    failed: u64,
    cancelled: u64,
}

impl RunFold {
    pub fn starting_after(after_seq: u64) -> RunFold {
        RunFold { through_seq: after_seq, ..RunFold::default() }
    }

    pub fn is_terminal(&self) -> bool {
        self.state.is_some_and(RunState::is_terminal)
    }

    /// Take in the events behind `through_seq`; the item results among them, each with its number.
    pub fn apply(&mut self, segment: Segment, fresh: &mut Vec<(u64, ItemResult)>) -> Result<()> {
        if segment.first_seq > self.through_seq + 1 {
            let (through, first) = (self.through_seq, segment.first_seq);
            let message = format!("the gateway sent a broken log: events up to {through}, then from {first}");
            return Err(Error::new(Reason::ParseError, message));
        }
        let recorded_at = timestamp(segment.recorded_at);
        let mut payloads = segment.payloads.into_iter();
        for (seq, header) in (segment.first_seq..).zip(segment.headers) {
            let payload = payloads.next().unwrap_or_default();
            if seq <= self.through_seq {
                continue;
            }
            self.through_seq = seq;
            if header.kind() == EventKind::ItemCompleted {
                let outcome = Outcome::from_number(header.outcome).unwrap_or(Outcome::Success);
                match outcome {
                    Outcome::Failed => self.failed += 1,
                    Outcome::Cancelled => self.cancelled += 1,
                    Outcome::Success | Outcome::Skipped => self.success += 1,
                }
                let result = ItemResult {
                    item_index: header.item_index,
                    outcome,
                    completed_at: recorded_at,
                    item_label: None,
                    source_item_index: None,
                    payload,
                    is_blob: header.payload_is_blob,
                };
                fresh.push((seq, result));
            } else {
                self.apply_other(&header, payload, recorded_at);
            }
        }
        Ok(())
    }

    fn apply_other(&mut self, header: &crate::v1::EventHeader, payload: Bytes, recorded_at: Option<SystemTime>) {
        match header.kind() {
            EventKind::RunAccepted => self.description = serde_json::from_slice(&payload).ok(),
            EventKind::ItemsStarted => {
                self.started = header.item_index + header.item_count;
                if !self.is_terminal() {
                    self.state = Some(RunState::Running);
                }
            }
            EventKind::RunCancelRequested => self.cancel_reason = Some(String::from_utf8_lossy(&payload).into_owned()),
            EventKind::RunCompleted => {
                self.state = RunState::from_number(header.run_status).or(Some(RunState::Failed));
                self.completed_at = recorded_at;
            }
            _ => {}
        }
    }

    /// The state as a value, without results; None as long as the first event was not seen.
    pub fn snapshot(&self) -> Option<RunStatus> {
        let run = self.description.as_ref()?;
        let created_at = match (run.created_at_us, &run.created_at) {
            (Some(us), _) => Some(UNIX_EPOCH + Duration::from_micros(us)),
            (None, Some(text)) => parse_rfc3339(text),
            (None, None) => None,
        };
        Some(RunStatus {
            run_id: run.run_id.clone(),
            flow_id: run.flow_id.clone(),
            flow_name: run.flow_name.clone(),
            flow_label: run.flow_label.clone(),
            status: self.state.unwrap_or(RunState::Pending),
            items: self.counts(run),
            created_at,
            completed_at: self.completed_at,
            results: None,
            as_of_seq: self.through_seq,
            root_run_id: run.root_run_id.clone().unwrap_or_else(|| run.run_id.clone()),
            parent_run_id: run.parent_run_id.clone(),
            source_run_id: run.source_run_id.clone(),
            metadata: run.metadata.clone(),
            max_concurrency: run.max_concurrency,
            cancel_reason: self.cancel_reason.clone(),
            progress: None,
            results_omitted: None,
        })
    }

    fn counts(&self, run: &Description) -> ItemCounts {
        let ended = self.success + self.failed + self.cancelled;
        let mut running = self.started.saturating_sub(ended);
        if run.max_concurrency > 0 {
            running = running.min(run.max_concurrency);
        }
        let rest = run.total.saturating_sub(ended + running);
        // Behind the request to cancel, what has not started counts as cancelled.
        let (pending, cancelled) = if self.cancel_reason.is_some() { (0, self.cancelled + rest) } else { (rest, self.cancelled) };
        ItemCounts { total: run.total, pending, running, success: self.success, failed: self.failed, cancelled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::EventHeader;

    fn header(kind: EventKind) -> EventHeader {
        EventHeader { kind: kind as i32, ..EventHeader::default() }
    }

    fn log() -> Segment {
        let accepted = br#"{"runId":"r","flowId":"f","total":3,"createdAtUs":5,"maxConcurrency":2,"rootRunId":"r"}"#;
        let done = |index, outcome: Outcome| EventHeader {
            item_index: index,
            outcome: outcome.number(),
            ..header(EventKind::ItemCompleted)
        };
        Segment {
            first_seq: 1,
            recorded_at: None,
            headers: vec![
                header(EventKind::RunAccepted),
                EventHeader { item_count: 2, ..header(EventKind::ItemsStarted) },
                done(1, Outcome::Success),
                done(0, Outcome::Failed),
                header(EventKind::RunCancelRequested),
                EventHeader { run_status: RunState::Cancelled.number(), ..header(EventKind::RunCompleted) },
            ],
            payloads: vec![
                Bytes::from_static(accepted),
                Bytes::new(),
                Bytes::from_static(b"7"),
                Bytes::from_static(br#"{"code":"TIMEOUT","message":"late"}"#),
                Bytes::from_static(b"enough"),
                Bytes::new(),
            ],
        }
    }

    #[test]
    fn a_log_folds_to_its_status_and_results_come_once() {
        let mut fold = RunFold::default();
        let mut fresh = Vec::new();
        fold.apply(log(), &mut fresh).unwrap();
        fold.apply(log(), &mut fresh).unwrap();
        let status = fold.snapshot().unwrap();
        assert_eq!((status.status, status.as_of_seq), (RunState::Cancelled, 6));
        assert_eq!(status.items, ItemCounts { total: 3, pending: 0, running: 0, success: 1, failed: 1, cancelled: 1 });
        assert_eq!(status.cancel_reason.as_deref(), Some("enough"));
        assert_eq!(fresh.iter().map(|(seq, item)| (*seq, item.item_index)).collect::<Vec<_>>(), [(3, 1), (4, 0)]);
        assert_eq!(fresh[0].1.value::<u8>().unwrap(), 7);
        assert_eq!(fresh[1].1.error().unwrap().code, "TIMEOUT");
    }

    #[test]
    fn a_reader_may_begin_anywhere_and_a_gap_is_an_error() {
        let mut fold = RunFold::starting_after(3);
        let mut fresh = Vec::new();
        fold.apply(log(), &mut fresh).unwrap();
        assert_eq!(fresh.len(), 1);
        assert!(fold.snapshot().is_none() && fold.is_terminal());
        let mut fold = RunFold::default();
        assert!(fold.apply(Segment { first_seq: 3, ..Segment::default() }, &mut fresh).is_err());
    }
}
