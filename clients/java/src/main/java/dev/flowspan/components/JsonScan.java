package dev.flowspan.components;

import com.fasterxml.jackson.databind.JsonNode;
import dev.flowspan.FlowspanException;
import dev.flowspan.Json;
import dev.flowspan.Reason;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Walks over one level of a JSON text and leaves what lies deeper as it stands. It finds the ends of values and judges none. */
final class JsonScan {
  private final byte[] text;
  private final int end;
  private int at;
  private int start;
  private boolean isFirst;

  JsonScan(byte[] text, int start, int end) {
    this.text = text;
    this.at = start;
    this.end = end;
  }

  /** One value, already passed. */
  static JsonScan of(byte[] value) {
    JsonScan scan = new JsonScan(value, 0, value.length);
    scan.skip();
    return scan;
  }

  /** The whole text of the walk. */
  byte[] all() {
    return Arrays.copyOfRange(text, at, end);
  }

  private static FlowspanException broken() {
    return new FlowspanException(Reason.PARSE_ERROR, "the JSON breaks off or is none");
  }

  private byte peek() {
    while (at < end) {
      byte c = text[at];
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
        return c;
      }
      at++;
    }
    throw broken();
  }

  private void expect(char c) {
    if (peek() != c) {
      throw broken();
    }
    at++;
  }

  void enterObject() {
    expect('{');
    isFirst = true;
  }

  void enterArray() {
    expect('[');
    isFirst = true;
  }

  /** The next member's name, with its value skipped: see {@link #value()}. Null behind the last. */
  String nextMember() {
    if (!hasNext('}')) {
      return null;
    }
    skip();
    String name = string();
    expect(':');
    skip();
    return name;
  }

  /** Whether there is another element, which is skipped then: see {@link #value()}. */
  boolean nextElement() {
    if (!hasNext(']')) {
      return false;
    }
    skip();
    return true;
  }

  private boolean hasNext(char close) {
    byte c = peek();
    if (c == close) {
      at++;
      return false;
    }
    if (!isFirst) {
      expect(',');
    }
    isFirst = false;
    return true;
  }

  /** Passes one value. */
  private void skip() {
    byte c = peek();
    start = at;
    if (c == '"') {
      skipString();
    } else if (c == '{' || c == '[') {
      int depth = 0;
      while (at < end) {
        c = text[at];
        if (c == '"') {
          skipString();
          continue;
        }
        at++;
        if (c == '{' || c == '[') {
          depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
          return;
        }
      }
      throw broken();
    } else {
      while (at < end) {
        c = text[at];
        if (c == ',' || c == '}' || c == ']' || c <= ' ') {
          break;
        }
        at++;
      }
      if (at == start) {
        throw broken();
      }
    }
  }

  private void skipString() {
    for (at++; at < end; at++) {
      byte c = text[at];
      if (c == '"') {
        at++;
        return;
      }
      if (c == '\\') {
        at++;
      }
    }
    throw broken();
  }

  // --- the value that was passed last

  /** Its text, copied. */
  byte[] value() {
    return Arrays.copyOfRange(text, start, at);
  }

  /** A walk over it. */
  JsonScan within() {
    return new JsonScan(text, start, at);
  }

  JsonNode node() {
    return Json.decode(value());
  }

  boolean isNull() {
    return text[start] == 'n';
  }

  boolean isText() {
    return text[start] == '"';
  }

  /** Its text, if it is one; else null. */
  String string() {
    if (!isText()) {
      return null;
    }
    for (int position = start + 1; position < at - 1; position++) {
      if (text[position] == '\\') {
        return node().asText();
      }
    }
    return new String(text, start + 1, at - start - 2, StandardCharsets.UTF_8);
  }

  /** Whether it is a whole number of at most 18 digits. */
  boolean isLong() {
    if (at - start > 18) {
      return false;
    }
    for (int position = start; position < at; position++) {
      if (text[position] < '0' || text[position] > '9') {
        return false;
      }
    }
    return at > start;
  }

  long longValue() {
    long value = 0;
    for (int position = start; position < at; position++) {
      value = value * 10 + (text[position] - '0');
    }
    return value;
  }

  double doubleValue() {
    try {
      return Double.parseDouble(new String(text, start, at - start, StandardCharsets.US_ASCII));
    } catch (NumberFormatException none) {
      return 0;
    }
  }
}
