package dev.flowspan;

/**
 * A flow in a list.
 *
 * @param flowName null if it has none
 */
public record FlowSummary(String flowId, String flowName) {}
