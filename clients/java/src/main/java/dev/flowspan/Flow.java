package dev.flowspan;

/**
 * A stored flow.
 *
 * @param flowName null if it has none
 * @param document as stored
 */
public record Flow(String flowId, String flowName, RawJson document) {}
