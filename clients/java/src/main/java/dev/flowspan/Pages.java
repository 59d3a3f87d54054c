package dev.flowspan;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** A list that comes in pages and reads like one. Each page is asked for when it is needed. To be read once, by one thread. */
public final class Pages<T> implements Iterable<T> {
  record Page<T>(List<T> elements, String nextToken) {}

  private final Function<String, CompletableFuture<Page<T>>> fetch;
  private String token = "";

  /** Takes the token of a page ("" for the first); gives the page and the token of the one after it. */
  Pages(Function<String, CompletableFuture<Page<T>>> fetch) {
    this.fetch = fetch;
  }

  /** The next page that is not empty; an empty one behind the last. */
  public CompletableFuture<List<T>> nextPageAsync() {
    if (token == null) {
      return CompletableFuture.completedFuture(List.of());
    }
    return fetch
        .apply(token)
        .thenCompose(
            page -> {
              token = page.nextToken.isEmpty() ? null : page.nextToken;
              return page.elements.isEmpty() ? nextPageAsync() : CompletableFuture.completedFuture(page.elements);
            });
  }

  /** As {@link #nextPageAsync()}; blocks. */
  public List<T> nextPage() {
    return Futures.join(nextPageAsync());
  }

  /** The elements of all pages that are left. */
  public Stream<T> stream() {
    return StreamSupport.stream(spliterator(), false);
  }

  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      private Iterator<T> page = List.<T>of().iterator();

      @Override
      public boolean hasNext() {
        if (!page.hasNext()) {
          page = nextPage().iterator();
        }
        return page.hasNext();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return page.next();
      }
    };
  }
}
