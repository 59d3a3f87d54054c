package dev.flowspan;

/** What the bytes of a blob are. */
public enum BlobType {
  /** A JSON value. */
  DATA,
  /** A flow document. */
  FLOW,
  /** Any bytes. */
  BINARY;

  /** The word on the wire. */
  public String word() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }

  /** The type of a word on the wire. */
  public static BlobType ofWord(String word) {
    for (BlobType type : values()) {
      if (type.word().equals(word)) {
        return type;
      }
    }
    throw new FlowspanException(Reason.INVALID_ARGUMENT, "a blob is data, flow or binary, not " + word);
  }
}
