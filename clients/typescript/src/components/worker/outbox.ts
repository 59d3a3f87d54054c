/** What a stream sends next: pushed from anywhere, taken one by one, until it is ended. */
export class Outbox<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  #wake: (() => void) | undefined;
  #isEnded = false;

  push(message: T): void {
    if (this.#isEnded) return;
    this.#waiting.push(message);
    this.#wake?.();
  }

  /** Nothing comes any more; what is waiting is still sent. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        yield message;
        continue;
      }
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
