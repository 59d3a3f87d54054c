// Statuses and results as JSON-RPC carries them, without losing how their numbers were written.

import { FlowspanError } from "../../errors.js";
import { rawElements, rawMembers } from "../../json/scan.js";
import { encodeJson, type NumberMode, RawJson } from "../../json/values.js";
import { ItemResult, type Outcome, RunStatus, type RunStatusCode } from "../../view/status.js";

interface WireStatus {
  runId: string;
  flowId: string;
  flowName?: string;
  flowLabel?: string;
  status: RunStatusCode;
  items: { total: number; pending: number; running: number; success: number; failed: number; cancelled: number };
  createdAt: string;
  completedAt?: string;
  asOfSeq?: number;
  rootRunId?: string;
  parentRunId?: string;
  sourceRunId?: string;
  metadata?: Record<string, string>;
  effectiveMaxConcurrency?: number;
  cancelReason?: string;
  resultsOmitted?: { count: number; bytes: number; limit: number; next: number };
  progress?: { ratePerSecond: number; etaSeconds?: number; waitingFor?: string[] };
}

/** A RunStatus by its JSON text. */
export function statusFromWire(text: string, numbers: NumberMode): RunStatus {
  try {
    const members = rawMembers(text);
    const raw = members.get("results");
    const results = raw === undefined ? undefined : rawElements(raw).map((item) => itemFromWire(item, numbers));
    // Everything but the results: their values are parsed when they are asked for.
    members.delete("results");
    const plain = [...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",");
    const wire = JSON.parse(`{${plain}}`) as WireStatus;
    return new RunStatus(
      {
        runId: wire.runId,
        flowId: wire.flowId,
        total: wire.items.total,
        createdAtUs: usOfText(wire.createdAt),
        maxConcurrency: wire.effectiveMaxConcurrency ?? 0,
        rootRunId: wire.rootRunId ?? wire.runId,
        flowName: wire.flowName,
        flowLabel: wire.flowLabel,
        parentRunId: wire.parentRunId,
        sourceRunId: wire.sourceRunId,
        metadata: wire.metadata,
      },
      {
        status: wire.status,
        items: wire.items,
        asOfSeq: wire.asOfSeq ?? 0,
        completedAtUs: wire.completedAt === undefined ? undefined : usOfText(wire.completedAt),
        cancelReason: wire.cancelReason,
        results,
        resultsOmitted: wire.resultsOmitted,
        progress: wire.progress && { ...wire.progress, waitingFor: wire.progress.waitingFor ?? [] },
      },
    );
  } catch (cause) {
    throw new FlowspanError("the gateway's answer cannot be read as a RunStatus", { reason: "PARSE_ERROR", cause });
  }
}

/** `{itemIndex, result, completedAt}` by its JSON text. */
export function itemFromWire(text: string, numbers: NumberMode): ItemResult {
  const members = rawMembers(text);
  const result = rawMembers(members.get("result") ?? "{}");
  const outcome = JSON.parse(result.get("outcome") ?? '"failed"') as "success" | "failed" | "skipped";
  let real: Outcome = outcome;
  let payload = result.get("value") ?? "null";
  if (outcome === "failed") {
    payload = result.get("error") ?? "{}";
    if (rawMembers(payload).get("code") === '"CANCELLED"') real = "cancelled";
  } else if (outcome === "skipped") {
    const reason = result.get("reason");
    payload = encodeJson(reason === undefined ? {} : { reason: new RawJson(reason) });
  }
  const label = members.get("itemLabel");
  const source = members.get("sourceItemIndex");
  return new ItemResult(
    Number(members.get("itemIndex")),
    real,
    new RawJson(payload),
    usOfText(JSON.parse(members.get("completedAt") ?? '""') as string),
    numbers,
    label === undefined ? undefined : (JSON.parse(label) as string),
    source === undefined ? undefined : Number(source),
  );
}

/** Microseconds since 1970 of an RFC 3339 text, which Date would cut at milliseconds. */
function usOfText(text: string): number {
  const ms = Date.parse(text);
  const digits = /\.(\d+)/.exec(text)?.[1] ?? "";
  const micros = Number(digits.padEnd(6, "0").slice(3, 6));
  return Math.floor(ms) * 1000 + micros;
}
