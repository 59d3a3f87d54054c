package dev.flowspan;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/** What makes a repeated execution recognisable. Gateways and component servers derive the same. */
public final class IdempotencyToken {
  private static final char[] DIGITS = "abcdefghijklmnopqrstuvwxyz234567".toCharArray();
  private static final int LENGTH = 26;

  private IdempotencyToken() {}

  /**
   * The token of an item of a step: the first 26 digits of the base32 of a SHA-256 over run id, item index and step id, each with
   * its length before it, so that no two triples run together. The same for each attempt.
   */
  public static String of(String runId, long itemIndex, String stepId) {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
    for (String part : new String[] {runId, Long.toString(itemIndex), stepId}) {
      byte[] bytes = part.getBytes(StandardCharsets.UTF_8);
      digest.update((bytes.length + ":").getBytes(StandardCharsets.US_ASCII));
      digest.update(bytes);
    }
    BigInteger bits = new BigInteger(1, Arrays.copyOf(digest.digest(), 17)).shiftRight(6);
    char[] token = new char[LENGTH];
    for (int position = LENGTH - 1; position >= 0; position--) {
      token[position] = DIGITS[bits.intValue() & 31];
      bits = bits.shiftRight(5);
    }
    return new String(token);
  }
}
