package dev.flowspan;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.JsonSerializable;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.jsontype.TypeSerializer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A JSON value as its text: nothing of it is lost, and nothing is read before somebody asks. */
public final class RawJson implements JsonSerializable {
  /** The JSON value null. */
  public static final RawJson NULL = RawJson.of("null");

  private final byte[] text;
  private final int start;
  private final int length;

  private RawJson(byte[] text, int start, int length) {
    this.text = text;
    this.start = start;
    this.length = length;
  }

  /** JSON as it stands; the bytes are UTF-8 and not copied. */
  public static RawJson of(byte[] text) {
    return new RawJson(text, 0, text.length);
  }

  /** JSON within a larger array, which is not copied. */
  public static RawJson of(byte[] text, int start, int length) {
    return new RawJson(text, start, length);
  }

  /** JSON as it stands. */
  public static RawJson of(String text) {
    return of(text.getBytes(StandardCharsets.UTF_8));
  }

  /** The UTF-8 text. */
  public byte[] bytes() {
    return start == 0 && length == text.length ? text : Arrays.copyOfRange(text, start, start + length);
  }

  /** How many bytes the text has. */
  public int length() {
    return length;
  }

  /** The value, with exact numbers. */
  public JsonNode decode() {
    return Json.decode(text, start, length);
  }

  /** The value, as Jackson reads it into a type. */
  public <T> T decode(Class<T> type) {
    return Json.decode(text, start, length, Json.mapper().constructType(type));
  }

  byte[] array() {
    return text;
  }

  int start() {
    return start;
  }

  @Override
  public void serialize(JsonGenerator generator, SerializerProvider serializers) throws IOException {
    generator.writeRawValue(toString());
  }

  @Override
  public void serializeWithType(JsonGenerator generator, SerializerProvider serializers, TypeSerializer types)
      throws IOException {
    serialize(generator, serializers);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof RawJson raw && Arrays.equals(bytes(), raw.bytes());
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(bytes());
  }

  @Override
  public String toString() {
    return new String(text, start, length, StandardCharsets.UTF_8);
  }
}
