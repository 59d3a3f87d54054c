package dev.flowspan;

import com.fasterxml.jackson.databind.JsonNode;

/** A blob: the bytes first put. */
public record Blob(String blobId, BlobType type, byte[] bytes) {
  /** The value that its JSON says; not for type binary. */
  public JsonNode value() {
    return Json.decode(bytes);
  }

  /** Its JSON as it stands; not for type binary. */
  public RawJson raw() {
    return RawJson.of(bytes);
  }
}
