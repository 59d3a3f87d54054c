package dev.flowspan;

/**
 * A component that flows can name by {@code path}.
 *
 * @param description null if there is none
 * @param inputSchema JSON Schema; null if not known
 * @param outputSchema JSON Schema; null if not known
 */
public record Component(String path, String plugin, String description, RawJson inputSchema, RawJson outputSchema) {}
