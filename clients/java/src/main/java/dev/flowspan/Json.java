package dev.flowspan;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamWriteConstraints;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import com.fasterxml.jackson.core.util.JsonGeneratorDelegate;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BigIntegerNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;

/**
 * JSON as Flowspan takes it: integers of any size, {@code 1} and {@code 1.0} and {@code -0.0} are what they were, and what JSON
 * cannot say (NaN, a lone surrogate) is refused with {@link Reason#INVALID_VALUE}.
 */
public final class Json {
  private static final int MAX_DEPTH = 1_000;

  private static final JsonFactory FACTORY =
      new JsonFactoryBuilder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxStringLength(Integer.MAX_VALUE)
                  .maxNumberLength(1_000_000)
                  .build())
          // Letters beyond 16 bits as themselves, not as two escapes.
          .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8)
          .streamWriteConstraints(StreamWriteConstraints.builder().maxNestingDepth(MAX_DEPTH).build())
          .build();

  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private static final ObjectMapper MAPPER =
      JsonMapper.builder(FACTORY)
          .nodeFactory(NODES)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .disable(SerializationFeature.FAIL_ON_EMPTY_BEANS)
          .disable(SerializationFeature.CLOSE_CLOSEABLE)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .addModule(
              new SimpleModule("flowspan")
                  .addDeserializer(JsonNode.class, new ExactNodes())
                  .addDeserializer(RawJson.class, new RawValues()))
          .build();

  private Json() {}

  /** The mapper that everything goes through. Modules of yours may be registered at the start of the program. */
  public static ObjectMapper mapper() {
    return MAPPER;
  }

  /**
   * Any value as JSON: nodes, maps, lists, records, beans, or {@link RawJson} as it stands.
   *
   * @throws FlowspanException INVALID_VALUE if JSON cannot say it
   */
  public static byte[] encode(Object value) {
    if (value instanceof RawJson raw) {
      return raw.bytes();
    }
    try (ByteArrayBuilder bytes = new ByteArrayBuilder(FACTORY._getBufferRecycler())) {
      try (JsonGenerator generator = new StrictGenerator(FACTORY.createGenerator(bytes))) {
        MAPPER.writeValue(generator, value);
      }
      return bytes.toByteArray();
    } catch (IOException | RuntimeException failure) {
      throw new FlowspanException(Reason.INVALID_VALUE, "the value cannot be written as JSON: " + failure.getMessage(), failure);
    }
  }

  /** Any value as a node: what {@link #encode} would write. */
  public static JsonNode nodeOf(Object value) {
    return value instanceof JsonNode node ? node : decode(encode(value));
  }

  /** The value of a JSON text, with exact numbers. */
  public static JsonNode decode(byte[] text) {
    return decode(text, 0, text.length);
  }

  /** The value of a JSON text, with exact numbers. */
  public static JsonNode decode(String text) {
    return decode(text.getBytes(StandardCharsets.UTF_8));
  }

  /** The value of a JSON text, as Jackson reads it into a type. */
  public static <T> T decode(byte[] text, Class<T> type) {
    return decode(text, 0, text.length, MAPPER.constructType(type));
  }

  static JsonNode decode(byte[] text, int start, int length) {
    try (JsonParser parser = FACTORY.createParser(text, start, length)) {
      if (parser.nextToken() == null) {
        throw new FlowspanException(Reason.PARSE_ERROR, "there is no JSON value");
      }
      JsonNode node = ExactNodes.read(parser);
      if (parser.nextToken() != null) {
        throw new FlowspanException(Reason.PARSE_ERROR, "there is more than one JSON value");
      }
      return node;
    } catch (IOException failure) {
      throw new FlowspanException(Reason.PARSE_ERROR, "not JSON: " + failure.getMessage(), failure);
    }
  }

  static <T> T decode(byte[] text, int start, int length, JavaType type) {
    try {
      return MAPPER.readValue(text, start, length, type);
    } catch (IOException failure) {
      throw new FlowspanException(
          Reason.INVALID_ARGUMENT, "the JSON does not fit " + type.toCanonical() + ": " + failure.getMessage(), failure);
    }
  }

  static JsonNode number(long value) {
    return NODES.numberNode(value);
  }

  private static final class ExactNodes extends JsonDeserializer<JsonNode> {
    private static final JsonNode NEGATIVE_ZERO = new ExactNumber("-0", true);

    @Override
    public JsonNode deserialize(JsonParser parser, DeserializationContext context) throws IOException {
      return read(parser);
    }

    @Override
    public JsonNode getNullValue(DeserializationContext context) {
      return NullNode.instance;
    }

    static JsonNode read(JsonParser parser) throws IOException {
      switch (parser.currentToken()) {
        case START_OBJECT: {
          ObjectNode object = NODES.objectNode();
          for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
            parser.nextToken();
            object.set(name, read(parser));
          }
          return object;
        }
        case FIELD_NAME: {
          // Where Jackson hands an object over behind its brace.
          ObjectNode object = NODES.objectNode();
          for (String name = parser.currentName(); name != null; name = parser.nextFieldName()) {
            parser.nextToken();
            object.set(name, read(parser));
          }
          return object;
        }
        case START_ARRAY: {
          ArrayNode array = NODES.arrayNode();
          while (parser.nextToken() != JsonToken.END_ARRAY) {
            array.add(read(parser));
          }
          return array;
        }
        case VALUE_STRING:
          return TextNode.valueOf(parser.getText());
        case VALUE_NUMBER_INT:
          return integer(parser);
        case VALUE_NUMBER_FLOAT:
          return new ExactNumber(parser.getText(), false);
        case VALUE_TRUE:
          return BooleanNode.TRUE;
        case VALUE_FALSE:
          return BooleanNode.FALSE;
        default:
          return NullNode.instance;
      }
    }

    private static JsonNode integer(JsonParser parser) throws IOException {
      switch (parser.getNumberType()) {
        case INT: {
          int value = parser.getIntValue();
          return value == 0 && parser.getText().startsWith("-") ? NEGATIVE_ZERO : IntNode.valueOf(value);
        }
        case LONG:
          return LongNode.valueOf(parser.getLongValue());
        default:
          return BigIntegerNode.valueOf(new BigInteger(parser.getText()));
      }
    }
  }

  private static final class RawValues extends JsonDeserializer<RawJson> {
    @Override
    public RawJson deserialize(JsonParser parser, DeserializationContext context) throws IOException {
      return RawJson.of(encode(ExactNodes.read(parser)));
    }

    @Override
    public RawJson getNullValue(DeserializationContext context) {
      return RawJson.NULL;
    }
  }

  /** Refuses what Jackson would write as the text "NaN", or as half a letter. */
  private static final class StrictGenerator extends JsonGeneratorDelegate {
    StrictGenerator(JsonGenerator delegate) {
      super(delegate, false);
    }

    private static void check(double value) throws IOException {
      if (Double.isNaN(value) || Double.isInfinite(value)) {
        throw new IOException(value + " has no JSON form");
      }
    }

    private static String check(String text) throws IOException {
      for (int position = 0; position < text.length(); position++) {
        if (Character.isSurrogate(text.charAt(position))) {
          if (!Character.isHighSurrogate(text.charAt(position))
              || position + 1 == text.length()
              || !Character.isLowSurrogate(text.charAt(++position))) {
            throw new IOException("a text with a lone surrogate has no JSON form");
          }
        }
      }
      return text;
    }

    @Override
    public void writeString(String text) throws IOException {
      super.writeString(text == null ? null : check(text));
    }

    @Override
    public void writeString(char[] text, int offset, int length) throws IOException {
      writeString(new String(text, offset, length));
    }

    @Override
    public void writeFieldName(String name) throws IOException {
      super.writeFieldName(check(name));
    }

    @Override
    public void writeNumber(double value) throws IOException {
      check(value);
      super.writeNumber(value);
    }

    @Override
    public void writeNumber(float value) throws IOException {
      check(value);
      super.writeNumber(value);
    }

    @Override
    public void writeArray(double[] values, int offset, int length) throws IOException {
      for (int position = offset; position < offset + length; position++) {
        check(values[position]);
      }
      super.writeArray(values, offset, length);
    }
  }
}
