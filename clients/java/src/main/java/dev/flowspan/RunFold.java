package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;
import dev.flowspan.v1.EventHeader;
import dev.flowspan.v1.Segment;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** From the events of a run's log to its state. Any prefix, and the rest onto it, is the whole. */
final class RunFold {
  /** An item's result as the log holds it; with {@code isBlob} the payload is a blob's id. */
  record Logged(long seq, long itemIndex, Outcome outcome, byte[] payload, boolean isBlob, Instant at) {}

  long throughSeq;
  private JsonNode description;
  private RunState state = RunState.PENDING;
  private Instant completedAt;
  private String cancelReason;
  private long started;
  private long success;
  private long failed;
  private long cancelled;

  RunFold(long afterSeq) {
    throughSeq = afterSeq;
  }

  boolean isTerminal() {
    return state.isTerminal();
  }

  /** Takes in the events behind {@code throughSeq}, and adds the results among them to {@code fresh}. */
  void apply(Segment segment, List<Logged> fresh) {
    if (segment.getFirstSeq() > throughSeq + 1) {
      throw new FlowspanException(
          Reason.INTERNAL,
          "the gateway sent a broken log: events up to " + throughSeq + ", then a segment from " + segment.getFirstSeq());
    }
    Instant at = Convert.instant(segment.getRecordedAt());
    boolean hasPayloads = segment.getPayloadsCount() == segment.getHeadersCount();
    int count = segment.getHeadersCount();
    for (int position = (int) Math.min(count, throughSeq + 1 - segment.getFirstSeq()); position < count; position++) {
      EventHeader header = segment.getHeaders(position);
      byte[] payload = hasPayloads ? segment.getPayloads(position).toByteArray() : new byte[0];
      switch (header.getKind()) {
        case EVENT_KIND_ITEM_COMPLETED -> {
          Outcome outcome = Outcome.of(header.getOutcome());
          switch (outcome) {
            case FAILED -> failed++;
            case CANCELLED -> cancelled++;
            default -> success++;
          }
          fresh.add(
              new Logged(
                  segment.getFirstSeq() + position, header.getItemIndex(), outcome, payload, header.getPayloadIsBlob(), at));
        }
        case EVENT_KIND_ITEMS_STARTED -> {
          started = header.getItemIndex() + header.getItemCount();
          state = state.isTerminal() ? state : RunState.RUNNING;
        }
        case EVENT_KIND_RUN_ACCEPTED -> description = payload.length == 0 ? null : Json.decode(payload);
        case EVENT_KIND_RUN_CANCEL_REQUESTED -> cancelReason = new String(payload, java.nio.charset.StandardCharsets.UTF_8);
        case EVENT_KIND_RUN_COMPLETED -> {
          state = RunState.of(header.getRunStatus());
          completedAt = at;
        }
        default -> {
          // Nothing that a status tells of; it keeps its number.
        }
      }
    }
    throughSeq = Math.max(throughSeq, segment.getFirstSeq() + count - 1);
  }

  private static String text(JsonNode object, String member) {
    JsonNode value = object.get(member);
    return value == null || value.isNull() ? null : value.asText();
  }

  /** The state without results; null before event 1. */
  RunStatus snapshot() {
    if (description == null) {
      return null;
    }
    long total = description.path("total").asLong();
    long bound = description.path("maxConcurrency").asLong(Long.MAX_VALUE);
    long running = Math.max(0, Math.min(started - success - failed - cancelled, bound));
    ItemCounts items =
        cancelReason != null
            ? new ItemCounts(total, 0, running, success, failed, total - running - success - failed)
            : new ItemCounts(total, total - running - success - failed - cancelled, running, success, failed, cancelled);
    Map<String, String> metadata = new LinkedHashMap<>();
    description.path("metadata").properties().forEach(entry -> metadata.put(entry.getKey(), entry.getValue().asText()));
    long createdUs = description.path("createdAtUs").asLong();
    return new RunStatus(
        text(description, "runId"),
        text(description, "flowId"),
        text(description, "flowName"),
        text(description, "flowLabel"),
        state,
        items,
        Instant.ofEpochSecond(Math.floorDiv(createdUs, 1_000_000L), Math.floorMod(createdUs, 1_000_000L) * 1_000L),
        completedAt,
        null,
        null,
        throughSeq,
        text(description, "rootRunId"),
        text(description, "parentRunId"),
        text(description, "sourceRunId"),
        metadata,
        bound,
        cancelReason,
        null);
  }
}
