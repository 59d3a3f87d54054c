/** A list that comes in pages and reads like one iterator; each page is asked for when it is needed. */
export class Pages<T> implements AsyncIterable<T> {
  #token: string | undefined = "";

  constructor(private readonly fetchPage: (token: string) => Promise<{ page: readonly T[]; next: string }>) {}

  /** The next page that is not empty; undefined behind the last. */
  async nextPage(): Promise<readonly T[] | undefined> {
    while (this.#token !== undefined) {
      const { page, next } = await this.fetchPage(this.#token);
      this.#token = next === "" ? undefined : next;
      if (page.length > 0) return page;
    }
    return undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      const page = await this.nextPage();
      if (page === undefined) return;
      yield* page;
    }
  }

  /** Everything that is left. */
  async all(): Promise<T[]> {
    const elements: T[] = [];
    for (let page = await this.nextPage(); page !== undefined; page = await this.nextPage()) elements.push(...page);
    return elements;
  }
}
