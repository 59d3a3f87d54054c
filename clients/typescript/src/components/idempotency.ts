// Idempotency tokens: what makes a repeated execution recognisable. Gateways and component servers derive the same.

import { createHash } from "node:crypto";

const DIGITS = "abcdefghijklmnopqrstuvwxyz234567";
const LENGTH = 26;

/**
 * The token of one item of one step of one run: the first 26 digits of the lower-case base32 of a SHA-256 over run id, item index and
 * step id, each as UTF-8 with its length in bytes and a colon before it, so that no two triples run together.
 */
export function idempotencyToken(runId: string, itemIndex: number, stepId: string): string {
  const hash = createHash("sha256");
  for (const part of [runId, String(itemIndex), stepId]) hash.update(`${Buffer.byteLength(part)}:${part}`);
  const digest = hash.digest();
  let token = "";
  let bits = 0;
  let held = 0;
  for (let at = 0; token.length < LENGTH; at += 1) {
    held = ((held << 8) | digest.readUInt8(at)) & 0xfff;
    bits += 8;
    while (bits >= 5 && token.length < LENGTH) {
      bits -= 5;
      token += DIGITS[(held >> bits) & 31];
    }
  }
  return token;
}
