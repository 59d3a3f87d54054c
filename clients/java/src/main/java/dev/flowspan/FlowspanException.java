package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.TextNode;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;

/** A call that could not be served. What to do about it follows from its {@link #reason()}. */
public class FlowspanException extends RuntimeException {
  private static final long serialVersionUID = 1L;
  private static final String DOMAIN = "flowspan";
  private static final String RETRY_AFTER = "retryAfterMs";

  private final Reason reason;
  private final transient Map<String, JsonNode> details;
  private final boolean fromPeer;
  private boolean neverSent;

  /** An error of this side. */
  public FlowspanException(Reason reason, String message) {
    this(reason, message, Map.of(), false, null);
  }

  /** An error of this side. */
  public FlowspanException(Reason reason, String message, Throwable cause) {
    this(reason, message, Map.of(), false, cause);
  }

  /**
   * An error with all that is known of it.
   *
   * @param fromPeer whether the gateway said so
   * @param cause null if there is none
   */
  public FlowspanException(
      Reason reason, String message, Map<String, JsonNode> details, boolean fromPeer, Throwable cause) {
    super(message, cause);
    this.reason = reason;
    this.details = new LinkedHashMap<>(details);
    this.fromPeer = fromPeer;
  }

  /** Why, in one stable word. */
  public Reason reason() {
    return reason;
  }

  /** Facts for machines, such as {@code limit}, {@code field} or {@code runId}. */
  public Map<String, JsonNode> details() {
    return details == null ? Map.of() : details;
  }

  /** Whether the gateway said so; else it was found on this side: a lost connection, a time-out. */
  public boolean isFromPeer() {
    return fromPeer;
  }

  /** Whether the same call may succeed a moment later: the peer was not there, or asked to come back. */
  public boolean isRetryable() {
    return reason.grpcCode() == Status.Code.UNAVAILABLE
        || (reason.grpcCode() == Status.Code.RESOURCE_EXHAUSTED && retryAfter().isPresent());
  }

  /** When to try again, if the gateway said so. */
  public Optional<Duration> retryAfter() {
    JsonNode named = details().get(RETRY_AFTER);
    return named != null && named.isNumber() ? Optional.of(Duration.ofMillis(named.longValue())) : Optional.empty();
  }

  /** Whether a call that has an effect of its own each time may be made again: this one had none. */
  boolean isSurelyNotApplied() {
    JsonNode outcome = details().get("outcome");
    return isRetryable() && (fromPeer ? outcome == null || !outcome.asText().equals("unknown") : neverSent);
  }

  /** Whether a watch goes on from its cursor. */
  boolean isResumable() {
    if (isRetryable() || reason.grpcCode() == Status.Code.ABORTED) {
      return true;
    }
    String message = String.valueOf(getMessage());
    // Where a stream was cut rather than refused, gRPC calls it what the last frame looked like.
    return !fromPeer && (message.contains("RST_STREAM") || message.contains("Connection") || message.contains("HTTP/2"));
  }

  FlowspanException with(String name, Object value) {
    details.putIfAbsent(name, value instanceof Number n ? Json.number(n.longValue()) : TextNode.valueOf(String.valueOf(value)));
    return this;
  }

  /** What any failure of a call means, such as one of gRPC's. */
  public static FlowspanException of(Throwable failure) {
    Throwable cause = failure;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException) && cause.getCause() != null) {
      cause = cause.getCause();
    }
    if (cause instanceof FlowspanException known) {
      return known;
    }
    if (cause instanceof TimeoutException) {
      return new FlowspanException(Reason.TIMEOUT, "the gateway did not answer in time", cause);
    }
    if (cause instanceof CancellationException) {
      return new FlowspanException(Reason.REQUEST_CANCELLED, "given up by the caller", cause);
    }
    Status status = Status.fromThrowable(cause);
    com.google.rpc.Status wire = StatusProto.fromThrowable(cause);
    FlowspanException told = wire == null ? null : ofDetails(status, wire, cause);
    if (told != null) {
      return told;
    }
    String message = status.getDescription() == null ? status.getCode().name() : status.getDescription();
    if (status.getCause() != null && status.getCause().getMessage() != null) {
      message += ": " + status.getCause().getMessage();
    }
    Reason reason = Reason.ofStatus(status.getCode());
    if (status.getCode() == Status.Code.CANCELLED) {
      // Not by us, and the gateway would say why: a server that stops drops calls so.
      reason = Reason.UNAVAILABLE;
      message = "the gateway ended the call without an answer; it may be stopping";
    }
    for (Throwable t = cause; t != null; t = t.getCause()) {
      if (t instanceof IOException && reason == Reason.INTERNAL) {
        // The connection broke, under a call of which the wire had nothing better to say.
        reason = Reason.UNAVAILABLE;
      }
    }
    if (status.getCode() == Status.Code.UNKNOWN && !(cause instanceof io.grpc.StatusRuntimeException) && cause.getMessage() != null) {
      message = cause.getClass().getSimpleName() + ": " + cause.getMessage();
    }
    FlowspanException error =
        new FlowspanException(reason, message, Map.of("grpcCode", TextNode.valueOf(status.getCode().name())), false, cause);
    for (Throwable t = cause; t != null; t = t.getCause()) {
      error.neverSent |= t instanceof ConnectException;
    }
    return error;
  }

  private static FlowspanException ofDetails(Status status, com.google.rpc.Status wire, Throwable cause) {
    ErrorInfo info = null;
    Map<String, JsonNode> more = new LinkedHashMap<>();
    try {
      for (Any packed : wire.getDetailsList()) {
        if (packed.is(ErrorInfo.class)) {
          ErrorInfo candidate = packed.unpack(ErrorInfo.class);
          info = candidate.getDomain().equals(DOMAIN) ? candidate : info;
        } else if (packed.is(BadRequest.class)) {
          BadRequest bad = packed.unpack(BadRequest.class);
          if (bad.getFieldViolationsCount() > 0) {
            more.put("field", TextNode.valueOf(bad.getFieldViolations(0).getField()));
          }
        } else if (packed.is(RetryInfo.class)) {
          com.google.protobuf.Duration delay = packed.unpack(RetryInfo.class).getRetryDelay();
          more.put(RETRY_AFTER, Json.number(delay.getSeconds() * 1000 + delay.getNanos() / 1_000_000));
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      return null;
    }
    if (info == null) {
      return null;
    }
    Map<String, JsonNode> details = new LinkedHashMap<>();
    info.getMetadataMap().forEach((name, text) -> details.put(name, detailOf(text)));
    more.forEach(details::putIfAbsent);
    Reason reason = Reason.ofName(info.getReason());
    if (reason == null) {
      // A newer gateway: the status says at least what kind of failure it is.
      reason = Reason.ofStatus(status.getCode());
      details.put("peerReason", TextNode.valueOf(info.getReason()));
    }
    return new FlowspanException(reason, wire.getMessage(), details, true, cause);
  }

  /** Texts travel as they are, everything else as JSON. */
  private static JsonNode detailOf(String text) {
    try {
      return Json.decode(text);
    } catch (FlowspanException notJson) {
      return TextNode.valueOf(text);
    }
  }
}
