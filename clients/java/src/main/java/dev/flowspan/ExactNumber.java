package dev.flowspan;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.node.NumericNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;

/** A number that is written as it was read: with a fraction, an exponent, or a sign before a zero. */
final class ExactNumber extends NumericNode {
  private static final long serialVersionUID = 1L;
  private final String text;
  private final boolean integral;
  private transient BigDecimal decimal;

  ExactNumber(String text, boolean integral) {
    this.text = text;
    this.integral = integral;
  }

  @Override
  public JsonToken asToken() {
    return integral ? JsonToken.VALUE_NUMBER_INT : JsonToken.VALUE_NUMBER_FLOAT;
  }

  @Override
  public JsonParser.NumberType numberType() {
    return integral ? JsonParser.NumberType.INT : JsonParser.NumberType.BIG_DECIMAL;
  }

  @Override
  public boolean isIntegralNumber() {
    return integral;
  }

  @Override
  public boolean isInt() {
    return integral;
  }

  @Override
  public boolean isFloatingPointNumber() {
    return !integral;
  }

  @Override
  public boolean isBigDecimal() {
    return !integral;
  }

  @Override
  public boolean canConvertToInt() {
    return isBetween(Integer.MIN_VALUE, Integer.MAX_VALUE);
  }

  @Override
  public boolean canConvertToLong() {
    return isBetween(Long.MIN_VALUE, Long.MAX_VALUE);
  }

  private boolean isBetween(long least, long most) {
    return decimalValue().compareTo(BigDecimal.valueOf(least)) >= 0 && decimalValue().compareTo(BigDecimal.valueOf(most)) <= 0;
  }

  @Override
  public Number numberValue() {
    return integral ? (Number) 0 : decimalValue();
  }

  @Override
  public int intValue() {
    return (int) longValue();
  }

  @Override
  public long longValue() {
    return canConvertToLong() ? decimalValue().longValue() : (long) doubleValue();
  }

  @Override
  public double doubleValue() {
    return Double.parseDouble(text);
  }

  @Override
  public BigDecimal decimalValue() {
    if (decimal == null) {
      decimal = new BigDecimal(text);
    }
    return decimal;
  }

  @Override
  public BigInteger bigIntegerValue() {
    return decimalValue().toBigInteger();
  }

  @Override
  public String asText() {
    return text;
  }

  @Override
  public void serialize(JsonGenerator generator, SerializerProvider provider) throws IOException {
    generator.writeNumber(text);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ExactNumber number && number.decimalValue().compareTo(decimalValue()) == 0;
  }

  @Override
  public int hashCode() {
    return Double.hashCode(doubleValue() + 0.0);
  }
}
