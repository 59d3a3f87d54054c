package dev.flowspan;

/**
 * One finding about a flow.
 *
 * @param level {@code warning}, {@code error} or {@code fatal}
 * @param path JSON pointer into the document
 * @param line from 1; 0: not known
 * @param column from 1; 0: not known
 */
public record Diagnostic(String kind, int code, String level, String message, String path, int line, int column) {}
