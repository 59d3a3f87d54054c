package dev.flowspan.components;

import dev.flowspan.RawJson;

/** What else may be said about a component. */
public final class ComponentOptions {
  String description;
  RawJson inputSchema;
  RawJson outputSchema;
  boolean inline;

  /** What it does, for people. */
  public ComponentOptions description(String description) {
    this.description = description;
    return this;
  }

  /** JSON Schema of its input, to be published. */
  public ComponentOptions inputSchema(RawJson inputSchema) {
    this.inputSchema = inputSchema;
    return this;
  }

  /** JSON Schema of its output, to be published. */
  public ComponentOptions outputSchema(RawJson outputSchema) {
    this.outputSchema = outputSchema;
    return this;
  }

  /**
   * Runs where requests are read, without a thread of its own: for small pure functions. What blocks there blocks all others, and no
   * time-out is kept.
   */
  public ComponentOptions inline() {
    this.inline = true;
    return this;
  }
}
