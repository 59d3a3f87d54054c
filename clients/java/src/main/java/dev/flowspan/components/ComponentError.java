package dev.flowspan.components;

import java.time.Duration;

/** Thrown by a component to fail its step in a chosen way. */
public class ComponentError extends Exception {
  private static final long serialVersionUID = 1L;

  private final String code;
  private final transient Object data;
  private final Duration retryAfter;

  /** Fails the step; its flow may try it again. */
  public ComponentError(String message) {
    this(message, null, null, null);
  }

  /**
   * Fails the step.
   *
   * @param code the component's own code, told in the data. INVALID_INPUT is never retried; RESOURCE_UNAVAILABLE and TIMEOUT draw on
   *     the retry budgets of those names. May be null
   * @param data any JSON value; null if there is none
   * @param retryAfter when the next attempt may be worth while; null if not known
   */
  public ComponentError(String message, String code, Object data, Duration retryAfter) {
    super(message);
    this.code = code;
    this.data = data;
    this.retryAfter = retryAfter;
  }

  /** The input is wrong: not tried again. */
  public static ComponentError invalidInput(String message, Object data) {
    return new ComponentError(message, "INVALID_INPUT", data, null);
  }

  /** Something that the component needs is not there: tried again. */
  public static ComponentError unavailable(String message, Duration retryAfter) {
    return new ComponentError(message, "RESOURCE_UNAVAILABLE", null, retryAfter);
  }

  /** The component's own code; null if there is none. */
  public String code() {
    return code;
  }

  /** For machines; null if there is none. */
  public Object data() {
    return data;
  }

  /** When to try again; null if not known. */
  public Duration retryAfter() {
    return retryAfter;
  }
}
