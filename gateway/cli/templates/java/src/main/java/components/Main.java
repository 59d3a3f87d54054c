package components;

import dev.flowspan.BlobType;
import dev.flowspan.RunStatus;
import dev.flowspan.SubmitOptions;
import dev.flowspan.components.ComponentContext;
import dev.flowspan.components.ComponentError;
import dev.flowspan.components.ComponentOptions;
import dev.flowspan.components.ComponentServer;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.StringTokenizer;

/** The components of @NAME@. */
public final class Main {
  private static final Map<String, Object> COUNT =
      Map.of(
          "name", "count",
          "steps", List.of(Map.of("id", "count", "component", "/@NAME@/count", "input", Map.of("$input", "$"))),
          "output", Map.of("$step", "count"));

  private Main() {}

  /** The number of words of a text. */
  static int count(String text) throws ComponentError {
    int words = new StringTokenizer(text).countTokens();
    if (words == 0) {
      throw ComponentError.invalidInput("a text without words", null);
    }
    return words;
  }

  /** The words of many texts: {@code count} over all of them, as a sub-run. */
  static int total(String[] texts, ComponentContext context) {
    String flowId = context.putBlob(COUNT, BlobType.FLOW);
    RunStatus run = context.submitRunAndWait(flowId, List.of(texts), new SubmitOptions(), null);
    return run.throwForFailures().results().stream().mapToInt(item -> item.value(Integer.class)).sum();
  }

  /** Serves the components. */
  public static void main(String[] arguments) throws IOException {
    ComponentServer server = new ComponentServer();
    server.component(
        "/count", String.class, (text, context) -> count(text), new ComponentOptions().description("The number of words of a text."));
    server.component("/total", String[].class, Main::total, new ComponentOptions().description("The words of many texts."));
    server.run();
  }
}
