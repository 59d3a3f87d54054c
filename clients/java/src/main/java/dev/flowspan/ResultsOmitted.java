package dev.flowspan;

/** Results were asked for and did not fit: {@code count} of them have {@code bytes} bytes; read on at index {@code next}. */
public record ResultsOmitted(long count, long bytes, long limit, long next) {}
