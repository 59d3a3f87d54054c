//! What is written next, in its order: lines as they are, answers of bulk executions joined.

use std::fmt::Write;

use super::super::failure::Failure;

/// What is larger gains nothing from company: it goes in a line of its own.
const SMALL_BYTES: usize = 4 * 1024;
/// A joined line ends with the piece that reaches this length.
const LINE_BYTES: usize = 256 * 1024;
const OUTPUTS: &str = r#"{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":["#;

/// The order matters: a cancel's answer says nothing of executions that were answered before, and progress comes ahead of an
/// output.
#[derive(Default)]
pub(crate) struct AnswerBatch {
    lines: Vec<u8>,
    outputs: String,
    failures: String,
    /// Answers since the batch was taken.
    pub answers: usize,
}

impl AnswerBatch {
    pub fn len(&self) -> usize {
        self.lines.len() + self.outputs.len() + self.failures.len()
    }

    /// A message without its line break.
    pub fn add_line(&mut self, message: &str) {
        self.join();
        push_line(&mut self.lines, &[message]);
    }

    /// An answer to `components/execute`; `result` is its member.
    pub fn add_result(&mut self, id: &dyn std::fmt::Display, result: &str) {
        self.join();
        push_line(&mut self.lines, &[&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#), result, "}"]);
    }

    pub fn add_output(&mut self, id: &dyn std::fmt::Display, output: &str) {
        self.add_result(id, &["{\"output\":", output, "}"].concat());
    }

    pub fn add_error(&mut self, id: &dyn std::fmt::Display, failure: &Failure) {
        let error = serde_json::to_string(failure).unwrap_or_default();
        self.add_line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    }

    pub fn add_bulk_output(&mut self, number: u64, output: &str) {
        if output.len() > SMALL_BYTES {
            push_line(&mut self.lines, &[OUTPUTS, &format!("[{number},"), output, "]]}}"]);
            return;
        }
        let comma = if self.outputs.is_empty() { "" } else { "," };
        let _ = write!(self.outputs, "{comma}[{number},{output}]");
        self.join_if_long();
    }

    pub fn add_bulk_failure(&mut self, number: u64, failure: &Failure) {
        let error = serde_json::to_string(failure).unwrap_or_default();
        if error.len() > SMALL_BYTES {
            push_line(&mut self.lines, &[OUTPUTS, &format!("],\"failures\":[[{number},"), &error, "]]}}"]);
            return;
        }
        let comma = if self.failures.is_empty() { "" } else { "," };
        let _ = write!(self.failures, "{comma}[{number},{error}]");
        self.join_if_long();
    }

    /// All of it, to be written.
    pub fn take(&mut self) -> Vec<u8> {
        self.join();
        self.answers = 0;
        std::mem::take(&mut self.lines)
    }

    fn join_if_long(&mut self) {
        if self.outputs.len() + self.failures.len() >= LINE_BYTES {
            self.join();
        }
    }

    fn join(&mut self) {
        if !self.outputs.is_empty() || !self.failures.is_empty() {
            let failures = if self.failures.is_empty() { "" } else { "],\"failures\":[" };
            push_line(&mut self.lines, &[OUTPUTS, &self.outputs, failures, &self.failures, "]}}"]);
            self.outputs.clear();
            self.failures.clear();
        }
    }
}

/// One line of these pieces. Line breaks occur in JSON only between tokens, where a space will do.
fn push_line(lines: &mut Vec<u8>, pieces: &[&str]) {
    let start = lines.len();
    for piece in pieces {
        lines.extend_from_slice(piece.as_bytes());
    }
    for byte in &mut lines[start..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    lines.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_answers_are_joined_and_the_order_is_kept() {
        let mut batch = AnswerBatch::default();
        batch.add_bulk_output(1, "2");
        batch.add_bulk_output(2, "{\"a\":\n1}");
        batch.add_bulk_failure(3, &Failure { code: -32004, message: "no".to_owned(), data: None });
        batch.add_line(r#"{"jsonrpc":"2.0","method":"$/progress"}"#);
        batch.add_bulk_output(4, "4");
        let text = String::from_utf8(batch.take()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,2],[2,{"a": 1}]],"failures":[[3,{"code":-32004,"message":"no"}]]}}"#,
                r#"{"jsonrpc":"2.0","method":"$/progress"}"#,
                r#"{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[4,4]]}}"#,
            ]
        );
        assert!(batch.take().is_empty());
    }

    #[test]
    fn what_is_large_stands_alone() {
        let mut batch = AnswerBatch::default();
        batch.add_bulk_output(1, "1");
        batch.add_bulk_output(2, &format!("\"{}\"", "x".repeat(5_000)));
        batch.add_bulk_failure(3, &Failure { code: -32004, message: "y".repeat(4_500), data: None });
        let text = String::from_utf8(batch.take()).unwrap();
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(message["method"], "$/outputs");
        }
    }
}
