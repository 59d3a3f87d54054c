package dev.flowspan;

/** As an input: the value is what the blob holds. */
public record BlobRef(String blobId) {}
