package dev.flowspan.components;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes that are collected to be written at once. */
final class ByteBuffers {
  private static final int KEPT_BYTES = 1 << 20;

  private byte[] bytes = new byte[8192];
  private int length;

  int length() {
    return length;
  }

  ByteBuffers add(byte[] more) {
    room(more.length);
    System.arraycopy(more, 0, bytes, length, more.length);
    length += more.length;
    return this;
  }

  ByteBuffers add(ByteBuffers more) {
    room(more.length);
    System.arraycopy(more.bytes, 0, bytes, length, more.length);
    length += more.length;
    return this;
  }

  /** Text of ASCII alone. */
  ByteBuffers ascii(String text) {
    return add(text.getBytes(StandardCharsets.ISO_8859_1));
  }

  ByteBuffers add(char c) {
    room(1);
    bytes[length++] = (byte) c;
    return this;
  }

  private void room(int more) {
    if (bytes.length - length < more) {
      bytes = Arrays.copyOf(bytes, (int) Math.min(Integer.MAX_VALUE - 8, Math.max(2L * bytes.length, (long) length + more)));
    }
  }

  void clear() {
    length = 0;
    if (bytes.length > KEPT_BYTES) {
      bytes = new byte[8192];
    }
  }

  void writeTo(OutputStream out) throws IOException {
    out.write(bytes, 0, length);
    out.flush();
  }
}
