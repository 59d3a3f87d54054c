package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;

/**
 * The result of one item of a run.
 *
 * @param itemIndex position of the item in the inputs, from 0
 * @param raw with SUCCESS: what the flow yielded, as it was written; else null
 * @param error with FAILED and CANCELLED: why; else null
 * @param reason with SKIPPED: why, if the flow says so; else null
 * @param itemLabel null if none was given
 * @param sourceItemIndex in a retry of another run: the index there; else null
 */
public record ItemResult(
    long itemIndex,
    Outcome outcome,
    RawJson raw,
    FlowError error,
    String reason,
    Instant completedAt,
    String itemLabel,
    Long sourceItemIndex) {

  /** What the flow yielded, with exact numbers; null unless the outcome is SUCCESS. */
  public JsonNode value() {
    return raw == null ? null : raw.decode();
  }

  /** What the flow yielded, as Jackson reads it into a type; null unless the outcome is SUCCESS. */
  public <T> T value(Class<T> type) {
    return raw == null ? null : raw.decode(type);
  }

  ItemResult withLabel(String label) {
    return new ItemResult(itemIndex, outcome, raw, error, reason, completedAt, label, sourceItemIndex);
  }

  /** The result that a log or a blob holds: the value, the error or the reason as JSON, by outcome. */
  static ItemResult ofPayload(long itemIndex, Outcome outcome, byte[] payload, Instant completedAt) {
    RawJson raw = null;
    FlowError error = null;
    String reason = null;
    switch (outcome) {
      case SUCCESS -> raw = RawJson.of(payload);
      case SKIPPED -> reason = payload.length == 0 ? null : Json.decode(payload).path("reason").asText(null);
      default ->
          error =
              payload.length == 0
                  ? new FlowError("CANCELLED", "the run was cancelled", null)
                  : FlowError.of(Json.decode(payload));
    }
    return new ItemResult(itemIndex, outcome, raw, error, reason, completedAt, null, null);
  }
}
