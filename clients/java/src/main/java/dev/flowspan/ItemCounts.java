package dev.flowspan;

/** How many items are where; {@code total} is the sum of the others, always. */
public record ItemCounts(long total, long pending, long running, long success, long failed, long cancelled) {}
