package dev.flowspan.components;

import java.util.concurrent.CompletionStage;

/** A component whose answer comes later, without holding a thread until then. */
@FunctionalInterface
public interface AsyncComponentFunction<I, O> {
  /**
   * Begins to execute one item. A future that is given back is cancelled when the result is not wanted any more.
   *
   * @throws Exception as for {@link ComponentFunction#execute}
   */
  CompletionStage<O> execute(I input, ComponentContext context) throws Exception;
}
