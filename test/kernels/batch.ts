/** A batch's table of rows and the state slots of its sessions, for kernels that run along the tokens. */
import { BATCH_TABLE, ROW_BYTES, ROW_FROM, ROW_POSITION, ROW_TO, ROW_TOKEN } from "../../assembly/ops.ts";
import type { Arena, Region } from "./arena.ts";

export interface Batch {
  /** Rows in all. */
  n: number;
  /** The batch: its counts, then the table. */
  region: Region;
  /** Address of the table. */
  table: number;
  /** Per session: the slot that it reads and the slot that it writes. */
  from: Region[];
  to: Region[];
}

/**
 * sessions: how many rows each has. slots: what each session's slot holds before; the slots written hold noise. In place: every
 * session writes the slot that it reads. tokens: of all rows, 0 if not given.
 */
export function batch(
  arena: Arena,
  sessions: number[],
  slots: Float32Array[],
  inPlace = false,
  tokens: number[] = [],
): Batch {
  const from = slots.map((slot) => (inPlace ? arena.copy(slot) : arena.input(slot)));
  const to = from.map((slot) => (inPlace ? slot : arena.output(slot.u8.length)));
  const n = sessions.reduce((a, b) => a + b, 0);
  const words = new Uint32Array((BATCH_TABLE + n * ROW_BYTES) / 4);
  words[0] = n;
  let t = 0;
  sessions.forEach((rows, s) => {
    for (let i = 0; i < rows; i++, t++) {
      const row = (BATCH_TABLE + t * ROW_BYTES) / 4;
      words[row + ROW_TOKEN / 4] = tokens[t] ?? 0;
      words[row + ROW_FROM / 4] = from[s].at;
      words[row + ROW_TO / 4] = to[s].at;
      words[row + ROW_POSITION / 4] = i;
    }
  });
  const region = arena.input(words);
  return { n, region, table: region.at + BATCH_TABLE, from, to };
}

/** Numbers to whole blocks of 32 per row, the padding zeros. */
export function padded(rows: Float32Array[]): Float32Array {
  const width = Math.ceil(rows[0].length / 32) * 32;
  const all = new Float32Array(rows.length * width);
  rows.forEach((row, i) => void all.set(row, i * width));
  return all;
}
