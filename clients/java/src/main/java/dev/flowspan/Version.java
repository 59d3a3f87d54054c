package dev.flowspan;

/** Of this library. */
public final class Version {
  /** As in its package metadata. */
  public static final String VERSION = "0.1.0";

  private Version() {}
}
