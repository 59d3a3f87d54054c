package dev.flowspan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
  record Order(long amount, BigDecimal price, JsonNode more, RawJson raw) {}

  private static String written(Object value) {
    return new String(Json.encode(value), StandardCharsets.UTF_8);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "9007199254740993", "1", "1.0", "-0.0", "-0", "0", "1e5", "1E-7", "0.1", "1.10", "123456789012345678901234567890",
        "-9223372036854775808", "{\"z\":1,\"a\":[true,null,{}],\"\":[]}", "\"é😀\\u0000\"", "[[[[]]]]"
      })
  void writesWhatItRead(String text) {
    assertEquals(text, written(Json.decode(text)));
  }

  @Test
  void numbersHaveTheirValues() {
    assertEquals(new BigInteger("123456789012345678901234567890"), Json.decode("123456789012345678901234567890").bigIntegerValue());
    assertEquals(new BigDecimal("1.10"), Json.decode("1.10").decimalValue());
    assertEquals(Double.doubleToRawLongBits(-0.0), Double.doubleToRawLongBits(Json.decode("-0.0").doubleValue()));
    assertTrue(Json.decode("-0").isIntegralNumber());
    assertTrue(Json.decode("1.0").isFloatingPointNumber());
    assertEquals(5, Json.decode("5").intValue());
  }

  @Test
  void typesAreReadByJackson() {
    Order order = Json.decode("{\"amount\":1,\"price\":1.50,\"more\":[1.0],\"raw\":{\"a\":-0.0},\"other\":2}".getBytes(StandardCharsets.UTF_8), Order.class);
    assertEquals(new BigDecimal("1.50"), order.price());
    assertEquals("[1.0]", written(order.more()));
    assertEquals("{\"a\":-0.0}", order.raw().toString());
    assertEquals("{\"amount\":1,\"price\":1.50,\"more\":[1.0],\"raw\":{\"a\":-0.0}}", written(order));
  }

  @Test
  void rawJsonIsTakenAsItStands() {
    assertEquals("{ \"a\" : 1 }", written(RawJson.of("{ \"a\" : 1 }")));
    assertEquals("[{ \"a\" : 1 }]", written(List.of(RawJson.of("{ \"a\" : 1 }"))));
  }

  @Test
  void refusesWhatJsonCannotSay() {
    for (Object value :
        List.of(Double.NaN, Float.POSITIVE_INFINITY, new double[] {1, Double.NaN}, Map.of("a", Double.NaN), "a\ud800b", "\udc00")) {
      FlowspanException error = assertThrows(FlowspanException.class, () -> Json.encode(value));
      assertEquals(Reason.INVALID_VALUE, error.reason());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "{", "1 2", "[1,]", "NaN", "{\"a\":1}}"})
  void refusesWhatIsNotJson(String text) {
    assertEquals(Reason.PARSE_ERROR, assertThrows(FlowspanException.class, () -> Json.decode(text)).reason());
  }
}
