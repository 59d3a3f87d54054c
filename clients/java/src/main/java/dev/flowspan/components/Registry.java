package dev.flowspan.components;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.flowspan.FlowspanException;
import dev.flowspan.Json;
import dev.flowspan.RawJson;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionStage;

/** Finds components by the path that the gateway names. */
final class Registry {
  /** The longest list that a gateway takes. */
  private static final int MAX_COMPONENTS = 10_000;

  /** A component; exactly one of the functions is there. */
  static final class Component {
    final String name;
    final ComponentOptions options;
    private final Class<?> inputType;
    private final ComponentFunction<Object, Object> function;
    private final AsyncComponentFunction<Object, Object> async;
    private final String[] parts;

    private Component(
        String name,
        Class<?> inputType,
        ComponentFunction<Object, Object> function,
        AsyncComponentFunction<Object, Object> async,
        ComponentOptions options) {
      this.name = name;
      this.inputType = inputType;
      this.function = function;
      this.async = async;
      this.options = options;
      this.parts = name.contains("{") ? name.substring(1).split("/") : null;
    }

    boolean isAsync() {
      return async != null;
    }

    private Object read(RawJson input) throws Failure.InputException {
      if (inputType == RawJson.class) {
        return input;
      }
      try {
        return inputType == Object.class ? input.decode() : input.decode(inputType);
      } catch (FlowspanException unfit) {
        throw new Failure.InputException(unfit);
      }
    }

    byte[] call(Execution execution) throws Exception {
      return Json.encode(function.execute(read(execution.input), execution));
    }

    CompletionStage<Object> begin(Execution execution) throws Exception {
      return async.execute(read(execution.input), execution);
    }

    private Map<String, String> match(String path) {
      String[] given = (path.startsWith("/") ? path.substring(1) : path).split("/", -1);
      if (given.length != parts.length) {
        return null;
      }
      Map<String, String> parameters = new LinkedHashMap<>();
      for (int position = 0; position < parts.length; position++) {
        String part = parts[position];
        if (part.startsWith("{") && part.endsWith("}")) {
          if (given[position].isEmpty()) {
            return null;
          }
          parameters.put(part.substring(1, part.length() - 1), given[position]);
        } else if (!part.equals(given[position])) {
          return null;
        }
      }
      return parameters;
    }

    /** Its entry in components/list. */
    ObjectNode info() {
      ObjectNode info = JsonNodeFactory.instance.objectNode().put("component", name).put("name", name);
      if (options.description != null) {
        info.put("description", options.description);
      }
      if (options.inputSchema != null) {
        info.set("input_schema", options.inputSchema.decode());
      }
      if (options.outputSchema != null) {
        info.set("output_schema", options.outputSchema.decode());
      }
      return info;
    }
  }

  /** A component and the values of the parameters in its path. */
  record Found(Component component, Map<String, String> parameters) {}

  final Map<String, Component> components = new LinkedHashMap<>();
  private final Map<String, Found> byPath = new HashMap<>();

  void add(
      String path,
      Class<?> inputType,
      ComponentFunction<Object, Object> function,
      AsyncComponentFunction<Object, Object> async,
      ComponentOptions options) {
    String name = path.startsWith("/") ? path : "/" + path;
    if (name.length() == 1) {
      throw new IllegalArgumentException("a component needs a name");
    }
    if (components.containsKey(name)) {
      throw new IllegalArgumentException("there is already a component " + name);
    }
    if (components.size() == MAX_COMPONENTS) {
      throw new IllegalArgumentException("a server offers at most " + MAX_COMPONENTS + " components");
    }
    Component component = new Component(name, inputType, function, async, options);
    components.put(name, component);
    byPath.put(name, new Found(component, Map.of()));
    byPath.put(name.substring(1), byPath.get(name));
  }

  /** Null if there is none. */
  Found find(String path) {
    Found exact = byPath.get(path);
    if (exact != null || path == null) {
      return exact;
    }
    for (Component component : components.values()) {
      Map<String, String> parameters = component.parts == null ? null : component.match(path);
      if (parameters != null) {
        return new Found(component, parameters);
      }
    }
    return null;
  }
}
