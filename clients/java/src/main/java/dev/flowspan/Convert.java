package dev.flowspan;

import com.google.protobuf.Timestamp;
import com.google.protobuf.UnsafeByteOperations;
import dev.flowspan.v1.JsonValue;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** Between messages and values. */
final class Convert {
  private Convert() {}

  static Instant instant(Timestamp timestamp) {
    return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos());
  }

  static Timestamp timestamp(Instant instant) {
    return Timestamp.newBuilder().setSeconds(instant.getEpochSecond()).setNanos(instant.getNano()).build();
  }

  /** A value, or the reference to one. */
  static JsonValue jsonValue(Object value) {
    if (value instanceof BlobRef ref) {
      return JsonValue.newBuilder().setBlobId(ref.blobId()).build();
    }
    return JsonValue.newBuilder().setJson(UnsafeByteOperations.unsafeWrap(Json.encode(value))).build();
  }

  /** Lower camel without the prefix: PLUGIN_HEALTH_BACKING_OFF is backingOff. */
  static String word(String name, String prefix) {
    String[] parts = name.substring(prefix.length()).toLowerCase(java.util.Locale.ROOT).split("_");
    StringBuilder word = new StringBuilder(parts[0]);
    for (int position = 1; position < parts.length; position++) {
      word.append(Character.toUpperCase(parts[position].charAt(0))).append(parts[position], 1, parts[position].length());
    }
    return word.toString();
  }

  /** An item result, whose value may still be in a blob. */
  record Found(ItemResult result, String blobId) {}

  static Found item(dev.flowspan.v1.ItemResult message) {
    dev.flowspan.v1.FlowResult result = message.getResult();
    RawJson raw = null;
    FlowError error = null;
    String blobId = null;
    Outcome outcome = Outcome.of(result.getOutcome());
    if (result.hasValue()) {
      if (result.getValue().getKindCase() == JsonValue.KindCase.BLOB_ID) {
        blobId = result.getValue().getBlobId();
      } else {
        raw = RawJson.of(result.getValue().getJson().toByteArray());
      }
    }
    if (result.hasError()) {
      dev.flowspan.v1.FlowError failed = result.getError();
      error =
          new FlowError(
              failed.getCode(),
              failed.getMessage(),
              failed.hasData() ? RawJson.of(failed.getData().getJson().toByteArray()) : null);
      outcome = failed.getCode().equals("CANCELLED") && outcome == Outcome.FAILED ? Outcome.CANCELLED : outcome;
    }
    return new Found(
        new ItemResult(
            message.getItemIndex(),
            outcome,
            raw,
            error,
            result.hasReason() ? result.getReason() : null,
            instant(message.getCompletedAt()),
            message.hasItemLabel() ? message.getItemLabel() : null,
            message.hasSourceItemIndex() ? message.getSourceItemIndex() : null),
        blobId);
  }

  /** A status; its results are read by the caller. */
  static RunStatus status(dev.flowspan.v1.RunStatus run, List<ItemResult> results) {
    dev.flowspan.v1.ItemCounts items = run.getItems();
    dev.flowspan.v1.ResultsOmitted omitted = run.getResultsOmitted();
    dev.flowspan.v1.RunProgress progress = run.getProgress();
    return new RunStatus(
        run.getRunId(),
        run.getFlowId(),
        run.hasFlowName() ? run.getFlowName() : null,
        run.hasFlowLabel() ? run.getFlowLabel() : null,
        RunState.of(run.getStatus()),
        new ItemCounts(
            items.getTotal(), items.getPending(), items.getRunning(), items.getSuccess(), items.getFailed(), items.getCancelled()),
        instant(run.getCreatedAt()),
        run.hasCompletedAt() ? instant(run.getCompletedAt()) : null,
        results,
        run.hasResultsOmitted()
            ? new ResultsOmitted(omitted.getCount(), omitted.getBytes(), omitted.getLimit(), omitted.getNext())
            : null,
        run.getAsOfSeq(),
        run.getRootRunId(),
        run.hasParentRunId() ? run.getParentRunId() : null,
        run.hasSourceRunId() ? run.getSourceRunId() : null,
        Map.copyOf(run.getMetadataMap()),
        Integer.toUnsignedLong(run.getEffectiveMaxConcurrency()),
        run.hasCancelReason() ? run.getCancelReason() : null,
        run.hasProgress()
            ? new RunProgress(
                progress.getRatePerSecond(),
                progress.hasEtaSeconds() ? progress.getEtaSeconds() : null,
                List.copyOf(progress.getWaitingForList()))
            : null);
  }
}
