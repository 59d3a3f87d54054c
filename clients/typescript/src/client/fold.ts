// The fold from the events of a run to its state.

import type { NumberMode } from "../json/values.js";
import { RawJson } from "../json/values.js";
import { EventKind, type Segment } from "../v1/event_pb.js";
import {
  type ItemCounts,
  ItemResult,
  isTerminal,
  type Outcome,
  type RunDescription,
  RunStatus,
  type RunStatusCode,
} from "../view/status.js";
import { outcomeWord, statusWord, usOf } from "./convert.js";

const utf8 = new TextDecoder();
const NOTHING = new Uint8Array();

/** A result behind its event's number. `blobId`: its payload is still in that blob. */
export interface LoggedResult {
  readonly seq: number;
  result: ItemResult;
  blobId: string | undefined;
}

/** State of a run after the segments that were given so far. Results are handed out, not kept. */
export class RunFold {
  description: RunDescription | undefined;
  throughSeq: number;
  status: RunStatusCode = "pending";
  #completedAtUs: number | undefined;
  #cancelReason: string | undefined;
  #started = 0;
  #success = 0;
  #failed = 0;
  #cancelled = 0;

  constructor(
    afterSeq: number,
    private readonly numbers: NumberMode,
  ) {
    this.throughSeq = afterSeq;
  }

  get isTerminal(): boolean {
    return isTerminal(this.status);
  }

  /**
   * Take in the events of a segment that lie behind `throughSeq`; the results among them.
   *
   * @throws RangeError the segment begins behind a gap.
   */
  apply(segment: Segment): LoggedResult[] {
    const firstSeq = Number(segment.firstSeq);
    if (firstSeq > this.throughSeq + 1) {
      throw new RangeError(`gap in the log: have events up to ${this.throughSeq}, got a segment from ${firstSeq}`);
    }
    const recordedAtUs = usOf(segment.recordedAt) ?? 0;
    const { headers, payloads } = segment;
    const fresh: LoggedResult[] = [];
    for (let i = this.throughSeq + 1 - firstSeq; i < headers.length; i += 1) {
      const header = headers[i];
      if (header === undefined) break;
      const payload = payloads[i] ?? NOTHING;
      switch (header.kind) {
        case EventKind.ITEM_COMPLETED: {
          const outcome = outcomeWord(header.outcome);
          this.#count(outcome);
          const result = new ItemResult(Number(header.itemIndex), outcome, new RawJson(payload), recordedAtUs, this.numbers);
          fresh.push({ seq: firstSeq + i, result, blobId: header.payloadIsBlob ? utf8.decode(payload) : undefined });
          break;
        }
        case EventKind.ITEMS_STARTED:
          this.#started = Number(header.itemIndex + header.itemCount);
          if (!this.isTerminal) this.status = "running";
          break;
        case EventKind.RUN_ACCEPTED:
          // createdAtUs is below 2^53 for the next two centuries.
          if (payload.length > 0) this.description = JSON.parse(utf8.decode(payload)) as RunDescription;
          break;
        case EventKind.RUN_CANCEL_REQUESTED:
          this.#cancelReason = utf8.decode(payload);
          break;
        case EventKind.RUN_COMPLETED:
          this.status = statusWord(header.runStatus);
          this.#completedAtUs = recordedAtUs;
          break;
        default:
          break;
      }
    }
    this.throughSeq = Math.max(this.throughSeq, firstSeq + headers.length - 1);
    return fresh;
  }

  /** The run as of `throughSeq`, without results; undefined before event 1. */
  snapshot(): RunStatus | undefined {
    if (this.description === undefined) return undefined;
    return new RunStatus(this.description, {
      status: this.status,
      items: this.#counts(this.description),
      asOfSeq: this.throughSeq,
      completedAtUs: this.#completedAtUs,
      cancelReason: this.#cancelReason,
    });
  }

  #count(outcome: Outcome): void {
    if (outcome === "failed") this.#failed += 1;
    else if (outcome === "cancelled") this.#cancelled += 1;
    else this.#success += 1;
  }

  #counts({ total, maxConcurrency }: RunDescription): ItemCounts {
    const success = this.#success;
    const failed = this.#failed;
    const running = Math.min(this.#started - success - failed - this.#cancelled, maxConcurrency);
    const unstarted = total - running - success - failed;
    // Once a cancel was requested, what has not started counts as cancelled.
    return this.#cancelReason === undefined
      ? { total, pending: unstarted - this.#cancelled, running, success, failed, cancelled: this.#cancelled }
      : { total, pending: 0, running, success, failed, cancelled: unstarted };
  }
}
