package dev.flowspan;

import java.util.List;

/**
 * Speed of a run: the only part of a status that is not durable fact.
 *
 * @param etaSeconds null if not known
 * @param waitingFor why items wait, if something keeps them from running
 */
public record RunProgress(double ratePerSecond, Double etaSeconds, List<String> waitingFor) {}
