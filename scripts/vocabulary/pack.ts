/** Writes the packed form of a vocabulary that `src/text/packed.ts` describes and reads. */
import { gzipSync } from "node:zlib";
import type { Vocabulary } from "../../src/types.ts";

/** Packs a vocabulary whose ids run from 1 by length, then by bytes; refuses any other. */
export function pack(vocabulary: Vocabulary): Uint8Array<ArrayBuffer> {
  const tokens = vocabulary.tokens.slice(1);
  for (let i = 0; i < tokens.length; i++) {
    const { length } = tokens[i];
    if (length === 0 || length > 255) throw new Error(`token ${i + 1} has ${length} bytes; 1 to 255 can be packed`);
    if (i > 0 && (length - tokens[i - 1].length || Buffer.compare(tokens[i], tokens[i - 1])) <= 0)
      throw new Error(`token ${i + 1} is not in the order of length, then bytes`);
  }
  const sorted = tokens.toSorted((a, b) => Buffer.compare(a, b));
  const shared = sorted.map((token, i) => (i === 0 ? 0 : sharedLength(sorted[i - 1], token)));
  const header = Buffer.from("RVOC\0\0\0\0", "latin1");
  header.writeUInt32LE(sorted.length, 4);
  const data = Buffer.concat([
    header,
    Uint8Array.from(shared),
    Uint8Array.from(sorted, (token, i) => token.length - shared[i]),
    ...sorted.map((token, i) => token.subarray(shared[i])),
  ]);
  return new Uint8Array(gzipSync(data, { level: 9, memLevel: 9 }));
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}
