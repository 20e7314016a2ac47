/**
 * Simple quantisers to the formats of GGML that the package only reads, for tests of whole models. Where a format keeps which
 * bit is found by trying: the decoder says what each bit of a block does. Scales come from the largest number, nothing is searched.
 */
import { TILE_HALVES } from "../../assembly/ops.ts";
import { type Format, rowBytes } from "../kernels/formats.ts";
import { encode, F16 } from "../kernels/reference.ts";

/** Some bits of a block, the number that each of their combinations means, and the best combination for -128 to 127. */
interface Field {
  bits: { byte: number; mask: number }[];
  meanings: number[];
  nearest: number[];
}

interface Layout {
  /** Values under one scale. */
  under: number;
  /** Per value. */
  codes: Field[];
  /** Per scale; none where the f16 is the scale itself. */
  scales: Field[];
  minimums: Field[];
}

const layouts = new Map<Format, Layout>();

function layoutOf(format: Format): Layout {
  const known = layouts.get(format);
  if (known) return known;
  const block = new DataView(new ArrayBuffer(format.bytes));
  const inScale = (byte: number) => format.scales.some((at) => byte === at || byte === at + 1);
  for (const at of format.scales) block.setUint16(at, 0x3c00, true);
  const turn = ({ byte, mask }: { byte: number; mask: number }) => block.setUint8(byte, block.getUint8(byte) ^ mask);
  const bits = Array.from({ length: format.bytes * 8 }, (_, i) => ({ byte: i >> 3, mask: 1 << (i & 7) })).filter(
    ({ byte }) => !inScale(byte),
  );
  const all = () => Array.from({ length: format.values }, (_, i) => format.value(block, 0, i));
  const before = all();
  const changed = bits.map((bit) => {
    turn(bit);
    const after = all();
    turn(bit);
    return after;
  });
  const field = (i: number, part: "code" | "scale" | "minimum"): Field => {
    const own = bits.filter((_, b) => changed[b][i][part] !== before[i][part]);
    const meanings = Array.from({ length: 2 ** own.length }, (_, combination) => {
      const set = own.filter((_, k) => combination & (1 << k));
      set.forEach(turn);
      const meaning = format.value(block, 0, i)[part];
      set.forEach(turn);
      return meaning;
    });
    const nearest = Array.from({ length: 256 }, (_, x) =>
      meanings.reduce(
        (best, value, k) => (Math.abs(value - x + 128) < Math.abs(meanings[best] - x + 128) ? k : best),
        0,
      ),
    );
    return { bits: own, meanings, nearest };
  };
  const under = format.tile === TILE_HALVES ? 16 : 32;
  const groups = Array.from({ length: format.values / under }, (_, g) => g * under);
  const layout = {
    under,
    codes: before.map((_, i) => field(i, "code")),
    scales: format.values === 32 ? [] : groups.map((i) => field(i, "scale")),
    minimums: format.scales.length === 2 ? groups.map((i) => field(i, "minimum")) : [],
  };
  layouts.set(format, layout);
  return layout;
}

/** Writes what is nearest to x, which is rounded first; answers what was written. */
function put(file: Uint8Array, at: number, { bits, meanings, nearest }: Field, x: number): number {
  const best = nearest[Math.max(0, Math.min(255, Math.round(x) + 128))];
  for (let k = 0; k < bits.length; k++) if (best & (1 << k)) file[at + bits[k].byte] |= bits[k].mask;
  return meanings[best];
}

/** Rows of numbers, of whole blocks, in a format. */
export function encodeRows(format: Format, x: Float32Array): Uint8Array {
  const { under, codes, scales, minimums } = layoutOf(format);
  const file = new Uint8Array(rowBytes(format, x.length));
  const view = new DataView(file.buffer);
  const meanings = codes[0].meanings;
  const [lowest, highest] = [Math.min(...meanings), Math.max(...meanings)];
  const half = (at: number, value: number) => {
    view.setUint16(at, encode(F16, value), true);
    return value;
  };
  for (let at = 0, first = 0; first < x.length; at += format.bytes, first += format.values) {
    const groups = Array.from({ length: format.values / under }, (_, g) => {
      const values = x.subarray(first + g * under, first + (g + 1) * under);
      const low = values.reduce((a, b) => Math.min(a, b), 0);
      const high = values.reduce((a, b) => Math.max(a, b), 0);
      if (minimums.length > 0) return { scale: (high - low) / highest, minimum: low };
      return { scale: (-low > high ? low : high) / lowest, minimum: 0 };
    });
    // The f16 make the largest scale and minimum reach the ends of their fields.
    const widest = (parts: number[], ends: number[]) =>
      Math.max(...parts.map(Math.abs)) / Math.max(...ends.map((end) => Math.abs(end)));
    if (scales.length === 0) {
      half(at + format.scales[0], groups[0].scale);
      for (let i = 0; i < 32; i++) put(file, at, codes[i], x[first + i] / (groups[0].scale || 1));
      continue;
    }
    const parts = groups.map(({ scale }) => scale);
    const d = half(at + format.scales[0], widest(parts, [Math.max(...scales[0].meanings)]));
    const m = minimums.length
      ? half(
          at + format.scales[1],
          widest(
            groups.map(({ minimum }) => minimum),
            minimums[0].meanings,
          ),
        )
      : 0;
    groups.forEach(({ scale, minimum }, g) => {
      const step = d * put(file, at, scales[g], scale / (d || 1));
      const offset = minimums.length ? m * put(file, at, minimums[g], minimum / (m || 1)) : 0;
      for (let i = g * under; i < (g + 1) * under; i++) put(file, at, codes[i], (x[first + i] - offset) / (step || 1));
    });
  }
  return file;
}
