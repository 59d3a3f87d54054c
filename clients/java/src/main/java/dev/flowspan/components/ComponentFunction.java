package dev.flowspan.components;

/** A component: from an input to an output, on a thread of its own. */
@FunctionalInterface
public interface ComponentFunction<I, O> {
  /**
   * Executes one item.
   *
   * @throws Exception fails the item, and nothing else: a {@link ComponentError} in its own words, anything else as
   *     COMPONENT_FAILED
   */
  O execute(I input, ComponentContext context) throws Exception;
}
