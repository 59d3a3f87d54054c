package dev.flowspan.components;

import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.flowspan.FlowspanException;
import dev.flowspan.Json;
import dev.flowspan.RawJson;
import dev.flowspan.Reason;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** An error answer as it goes onto the wire. */
record Failure(int code, String message, byte[] data) {
  /** The gateway cuts messages at 4 KiB and data at 64 KiB; data of the author shall leave room for the stack. */
  private static final int MAX_MESSAGE_BYTES = 4 * 1024;

  private static final int MAX_STACK_BYTES = 8 * 1024;
  private static final int MAX_STACK_FRAMES = 20;
  private static final int MAX_DATA_BYTES = 48 * 1024;

  static final Failure CANCELLED = of(Reason.REQUEST_CANCELLED, "the execution was cancelled", null);
  static final Failure TIMED_OUT = of(Reason.TIMEOUT, "the component did not answer in time", null);

  /** An input that does not fit the type of its component. */
  static final class InputException extends Exception {
    private static final long serialVersionUID = 1L;
    private final String pointer;

    InputException(FlowspanException cause) {
      super("the input does not fit: " + (cause.getCause() instanceof JsonMappingException own ? own.getOriginalMessage() : cause.getMessage()), cause);
      StringBuilder path = new StringBuilder();
      if (cause.getCause() instanceof JsonMappingException mapping) {
        for (JsonMappingException.Reference part : mapping.getPath()) {
          path.append("/").append(part.getFieldName() == null ? String.valueOf(part.getIndex()) : part.getFieldName());
        }
      }
      pointer = path.toString();
    }
  }

  static Failure of(Reason reason, String message, ObjectNode details) {
    ObjectNode data = details == null ? JsonNodeFactory.instance.objectNode() : details;
    data.put("reason", reason.name());
    data.put("domain", "flowspan");
    return new Failure(reason.jsonRpcCode(), cut(message, MAX_MESSAGE_BYTES), Json.encode(data));
  }

  static Failure noComponent(String path) {
    return of(Reason.COMPONENT_NOT_FOUND, "there is no component " + cut(path, 200) + " here; see components/list", null);
  }

  /** The error answer for what left component code. */
  static Failure of(Throwable thrown) {
    try {
      return told(thrown);
    } catch (RuntimeException | StackOverflowError untellable) {
      return of(Reason.COMPONENT_FAILED, thrown.getClass().getName() + ", which cannot be told", null);
    }
  }

  private static Failure told(Throwable thrown) {
    Throwable error = thrown;
    while ((error instanceof CompletionException || error instanceof ExecutionException || error instanceof InvocationTargetException)
        && error.getCause() != null) {
      error = error.getCause();
    }
    ObjectNode details = JsonNodeFactory.instance.objectNode();
    if (error instanceof InputException input) {
      return of(Reason.INPUT_SCHEMA, input.getMessage(), details.put("pointer", input.pointer));
    }
    details.put("type", error.getClass().getName());
    Reason reason = Reason.COMPONENT_FAILED;
    String message = error.getMessage() == null ? "" : error.getMessage();
    if (error instanceof ComponentError own) {
      if (own.code() != null) {
        details.put("code", own.code());
        reason =
            switch (own.code()) {
              case "INVALID_INPUT" -> Reason.INPUT_SCHEMA;
              case "RESOURCE_UNAVAILABLE" -> Reason.RESOURCE_UNAVAILABLE;
              case "TIMEOUT" -> Reason.TIMEOUT;
              default -> reason;
            };
      }
      if (own.data() != null) {
        details.set("data", Json.nodeOf(bounded(own.data())));
      }
      if (own.retryAfter() != null) {
        details.put("retryAfterMs", Math.max(0, own.retryAfter().toMillis()));
      }
    } else if (error instanceof FlowspanException call) {
      if (call.reason() == Reason.INVALID_VALUE && !call.isFromPeer()) {
        return of(Reason.INVALID_VALUE, message, null);
      }
      // A call to the gateway failed and the component let it pass: the component failed, whatever the gateway said.
      details.put("cause", call.reason().name());
    } else {
      String type = error.getClass().getSimpleName();
      message = message.isEmpty() ? type : type + ": " + message;
    }
    details.put("stack", stack(error));
    return of(reason, message, details);
  }

  private static String stack(Throwable error) {
    StringBuilder stack = new StringBuilder();
    int frames = 0;
    for (StackTraceElement frame : error.getStackTrace()) {
      // From here on the frames are ours: they say nothing to the author.
      if (frame.getClassName().startsWith("dev.flowspan.components.Engine") || frames++ == MAX_STACK_FRAMES) {
        break;
      }
      stack.append("at ").append(frame).append((char) 10);
    }
    return cut(stack.toString(), MAX_STACK_BYTES);
  }

  private static Object bounded(Object data) {
    byte[] encoded;
    try {
      encoded = Json.encode(data);
    } catch (FlowspanException unreadable) {
      return JsonNodeFactory.instance.objectNode().put("unreadable", unreadable.getMessage());
    }
    if (encoded.length > MAX_DATA_BYTES) {
      String head = cut(new String(encoded, 0, 1024, StandardCharsets.UTF_8), 1024);
      return JsonNodeFactory.instance.objectNode().put("truncated", true).put("bytes", encoded.length).put("head", head);
    }
    return RawJson.of(encoded);
  }

  /** At most so many bytes of UTF-8, with an ellipsis where something is left out. What UTF-8 cannot say becomes a question mark. */
  static String cut(String text, int maxBytes) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    if (bytes.length <= maxBytes) {
      return new String(bytes, StandardCharsets.UTF_8);
    }
    int end = maxBytes - 3;
    while (end > 0 && (bytes[end] & 0xC0) == 0x80) {
      end--;
    }
    return new String(Arrays.copyOf(bytes, end), StandardCharsets.UTF_8) + "…";
  }
}
