// Packing, byte by byte: where each number and each code of a piece lies, as assembly/blocks.ts says it, for any rows and columns.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_BF16, T_F16, T_F32, T_Q4_0, T_Q8_0 } from "../../assembly/ops.ts";
import { everywhere, type Setting } from "./harness.ts";
import { Random } from "./random.ts";

const PIECE = 32;
const ROWS = [1, 3, 8, 15, 16, 17, 20, 31, 32];

function packed({ kernels, arena }: Setting, type: number, file: Uint8Array, rows: number, columns: number) {
  arena.reset();
  const found = arena.output(kernels.piece_bytes(type, columns));
  kernels.pack(found.at, arena.input(file).at, type, rows, columns, arena.output(384).at);
  return found.u8;
}

/** A finite f16, subnormal or not, as a float. */
function half(bits: number): number {
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15) : mantissa * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

for (const [name, type, bytes] of [
  ["f32", T_F32, 4],
  ["f16", T_F16, 2],
  ["bf16", T_BF16, 2],
] as const)
  everywhere(`${name}: input by input`, (setting) => {
    const random = new Random(type);
    for (const rows of ROWS)
      for (const columns of [1, 4, 7, 8, 9, 15, 32, 50]) {
        const file = Uint8Array.from({ length: rows * columns * bytes }, () => random.u32());
        const expected = new Uint8Array(PIECE * columns * bytes);
        for (let r = 0; r < rows; r++)
          for (let c = 0; c < columns; c++) {
            const from = (r * columns + c) * bytes;
            expected.set(file.subarray(from, from + bytes), (c * PIECE + r) * bytes);
          }
        const found = packed(setting, type, file, rows, columns);
        assert.is(Buffer.compare(found, expected), 0, `${rows} x ${columns}`);
      }
  });

for (const [name, type, bytes, codes] of [
  ["q8_0", T_Q8_0, 34, 32],
  ["q4_0", T_Q4_0, 18, 16],
] as const)
  everywhere(`${name}: tiles of 16 rows, scales first, then four codes of each row`, (setting) => {
    const random = new Random(type);
    // What the build adds to a code; q4_0 has its own in the file.
    const offset = type === T_Q8_0 ? packed(setting, type, new Uint8Array(bytes), 1, 32)[64] : 0;
    for (const rows of ROWS)
      for (const blocks of [1, 2, 5]) {
        const file = Uint8Array.from({ length: rows * blocks * bytes }, () => random.u32());
        const view = new DataView(file.buffer);
        const scales = [0x0001, 0x83ff, 0x7bff, 0xfbff, 0x0000, 0x8000, 0x0400];
        const expected = new Uint8Array(2 * blocks * (64 + codes * 16));
        const into = new DataView(expected.buffer);
        for (let r = 0; r < rows; r++)
          for (let b = 0; b < blocks; b++) {
            const from = (r * blocks + b) * bytes;
            const any = random.u32() & 0xffff;
            const scale = random.below(3) ? any & 0xbbff : scales[random.below(scales.length)];
            view.setUint16(from, scale, true);
            const tile = (Math.floor(r / 16) * blocks + b) * (64 + codes * 16);
            into.setFloat32(tile + (r % 16) * 4, half(scale), true);
            for (let i = 0; i < codes; i++) {
              const at = tile + 64 + Math.floor(i / 4) * 64 + (r % 16) * 4 + (i % 4);
              expected[at] = file[from + 2 + i] + offset;
            }
          }
        const found = packed(setting, type, file, rows, blocks * 32);
        assert.is(Buffer.compare(found, expected), 0, `${rows} rows, ${blocks} blocks`);
      }
  });

everywhere("a scale that is no number is found in any block of a row", ({ kernels, arena }) => {
  const random = new Random(7);
  for (const [type, bytes] of [
    [T_Q8_0, 34],
    [T_Q4_0, 18],
  ])
    for (const blocks of [1, 2, 9]) {
      arena.reset();
      const file = Uint8Array.from({ length: blocks * bytes }, () => random.u32());
      const view = new DataView(file.buffer);
      for (let b = 0; b < blocks; b++) view.setUint16(b * bytes, random.u32() & 0xbbff, true);
      assert.is(kernels.not_finite(arena.copy(file).at, type, blocks * 32), -1);
      for (const bad of [0x7c00, 0xfc00, 0x7e01, 0xffff]) {
        const b = random.below(blocks);
        const spoilt = file.slice();
        new DataView(spoilt.buffer).setUint16(b * bytes, bad, true);
        assert.is(kernels.not_finite(arena.copy(spoilt).at, type, blocks * 32), b);
      }
    }
});

test.run();
