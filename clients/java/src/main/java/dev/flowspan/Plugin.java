package dev.flowspan;

import java.util.List;

/**
 * A configured plugin.
 *
 * @param health {@code starting}, {@code up}, {@code backingOff}, {@code circuitOpen} or {@code broken}
 */
public record Plugin(
    String name, String type, String health, String detail, int restarts, int capacity, int inFlight, List<String> stderrTail) {}
