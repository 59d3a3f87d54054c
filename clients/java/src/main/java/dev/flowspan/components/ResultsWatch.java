package dev.flowspan.components;

import dev.flowspan.ItemResult;
import dev.flowspan.RunStatus;
import java.util.Iterator;

/** The results of a run as they complete, each once; ends with the run. Waiting takes no time of the execution. */
public interface ResultsWatch extends Iterable<ItemResult>, Iterator<ItemResult>, AutoCloseable {
  @Override
  default Iterator<ItemResult> iterator() {
    return this;
  }

  /** Give this as {@code afterSeq} to another watch: it goes on behind what this one has handed out. */
  long cursor();

  /** The status, without results, once the run has ended; before that null. */
  RunStatus status();

  /** Ends the watch early; the run goes on. Harmless if repeated. */
  @Override
  void close();
}
