// q4_0 and q5_0 with scales of least error, bit by bit against a slow reference, and what they gain; factors of columns and rows.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_F16, T_F32 } from "../../assembly/ops.ts";
import { runs } from "../runs.ts";
import { formatOf, meant, quantizeBlock, rowBytes, valueAt } from "./formats.ts";
import { everywhere, once, type Setting } from "./harness.ts";
import { Random } from "./random.ts";
import { encode, F16, nearestEven, sum4 } from "./reference.ts";

const f = Math.fround;
const NAMES = ["q4_0", "q5_0"] as const;
type Name = (typeof NAMES)[number];

/** One block as docs/numerics.md says. */
function searchedBlock(name: Name, x: ArrayLike<number>): Uint8Array {
  const top = name === "q4_0" ? 8 : 16;
  const values = Array.from({ length: 32 }, (_, i) => x[i]);
  const size = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const most = size === 0 ? 0 : values.find((v) => Math.abs(v) === size)!;
  const inverse = size > f(1e-37) ? f(1 / most) : 0;
  const y = values.map((v) => f(v * inverse));
  const codes = (k: number) => y.map((v) => Math.min(top - 1, Math.max(-top, nearestEven(f(v * k)))));
  let best = { gain: -1, k: 0, scale: 0 };
  for (let step = 0; step < 8; step++) {
    const k = (-top * (28 + step)) / 32;
    const q = codes(k);
    const along = sum4(32, (i) => f(y[i] * q[i]));
    const squares = q.reduce((sum, code) => sum + code * code, 0);
    const gain = squares > 0 ? f(f(along * along) / squares) : 0;
    if (gain > best.gain) best = { gain, k, scale: squares > 0 ? f(along / squares) : 0 };
  }
  const { bytes } = formatOf(name);
  const block = new DataView(new ArrayBuffer(bytes));
  block.setUint16(0, encode(F16, f(most * best.scale)), true);
  codes(best.k).forEach((code, i) => {
    const at = bytes - 16 + (i % 16);
    block.setUint8(at, block.getUint8(at) + ((code + top) % 16) * (i < 16 ? 1 : 16));
    const high = bytes - 20 + (i >> 3);
    if (name === "q5_0") block.setUint8(high, block.getUint8(high) + ((code + top) >> 4) * 2 ** (i & 7));
  });
  return new Uint8Array(block.buffer);
}

function reference(name: Name, x: Float32Array, rows: number): Uint8Array {
  const { bytes } = formatOf(name);
  const columns = x.length / rows;
  const blocks = Math.ceil(columns / 32);
  const file = new Uint8Array(rows * blocks * bytes);
  for (let b = 0; b < rows * blocks; b++) {
    const row = x.subarray(Math.floor(b / blocks) * columns, (Math.floor(b / blocks) + 1) * columns);
    file.set(
      searchedBlock(
        name,
        Array.from({ length: 32 }, (_, i) => row[(b % blocks) * 32 + i] ?? 0),
      ),
      b * bytes,
    );
  }
  return file;
}

function searched({ arena, kernels }: Setting, name: Name, x: Float32Array, rows: number): Uint8Array {
  arena.reset();
  const format = formatOf(name);
  const columns = x.length / rows;
  const dst = arena.output(rows * rowBytes(format, columns));
  const scratch = arena.output(Math.ceil(columns / 32) * 128 + 384);
  kernels.convert(dst.at, format.id, arena.input(x).at, T_F32, rows, columns, scratch.at, true);
  return dst.u8;
}

const compare = (setting: Setting, name: Name, x: Float32Array, rows: number, what: string) =>
  assert.is(
    Buffer.compare(
      searched(setting, name, x, rows),
      once(`searched ${name} ${what}`, () => reference(name, x, rows)),
    ),
    0,
    `${name}, ${what}`,
  );

for (const name of NAMES) {
  everywhere(`${name}: rows of any length, blocks of every size, as the reference has them`, (setting) => {
    for (const columns of [1, 31, 32, 33, 96, 1000])
      compare(setting, name, new Random(columns).spiky(columns * 5, 20), 5, `${columns} columns`);
    const random = new Random(7);
    for (const e of [-149, -130, -126, -124, -122, -30, -14, 0, 12, 15, 60, 120])
      compare(
        setting,
        name,
        random.bells(64).map((x) => x * 2 ** e),
        1,
        `2^${e}`,
      );
    for (const one of [0, -0, 1, -1, 1e-45, 60000])
      compare(setting, name, new Float32Array(32).fill(one), 1, `all ${one}`);
    compare(
      setting,
      name,
      Float32Array.from({ length: 32 }, (_, i) => (i % 2 ? 1 : -1)),
      1,
      "two of one size",
    );
  });

  everywhere(`${name}: any numbers`, (setting) => {
    const number = fc.oneof(
      fc.float({ min: -60000, max: 60000, noNaN: true }),
      fc.integer({ min: -64, max: 64 }).map((i) => i / 4),
      fc.constantFrom(0, -0, 1e-45, -1e-38),
    );
    fc.assert(
      fc.property(fc.array(number, { minLength: 32, maxLength: 32 }), (values) => {
        const x = Float32Array.from(values);
        assert.equal([...searched(setting, name, x, 1)], [...searchedBlock(name, x)]);
      }),
      { numRuns: runs(150), seed: 1 },
    );
  });

  test(`${name}: the error is never more than GGML's quantiser leaves, and a twelfth less on average`, () => {
    const x = new Random(3).bells(32 * 400, 0.02);
    const format = formatOf(name);
    const total = { plain: 0, searched: 0 };
    for (let b = 0; b < x.length; b += 32) {
      const values = x.subarray(b, b + 32);
      const error = (file: Uint8Array) =>
        values.reduce((sum, v, i) => sum + (v - meant(valueAt(format, new DataView(file.buffer), 0, i))) ** 2, 0);
      const [plain, better] = [error(quantizeBlock(name, values)), error(searchedBlock(name, values))];
      // Both round their scale to f16, by chance one more than the other.
      assert.ok(better <= plain * 1.001 + 1e-12, `block ${b / 32}: ${better} > ${plain}`);
      total.plain += plain;
      total.searched += better;
    }
    assert.ok(total.searched < total.plain * (11 / 12), `${total.searched / total.plain}`);
  });
}

everywhere("from other types, as from their numbers in f32", (setting) => {
  const { arena, kernels } = setting;
  const x = new Random(5).bells(3 * 64).map((v) => Math.round(v * 64) / 64); // exact in f16
  const expected = searched(setting, "q4_0", x, 3).slice();
  arena.reset();
  const format = formatOf("q4_0");
  const dst = arena.output(expected.length);
  const scratch = arena.output(64 * 4 + 384);
  const halves = arena.input(Uint16Array.from(x, (v) => encode(F16, v)));
  kernels.convert(dst.at, format.id, halves.at, T_F16, 3, 64, scratch.at, true);
  assert.equal([...dst.u8], [...expected]);
});

everywhere("factors of columns and of rows: each product is rounded", ({ arena, kernels }) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 70 }),
      fc.boolean(),
      fc.boolean(),
      fc.integer(),
      (rows, columns, byColumns, byRows, seed) => {
        arena.reset();
        const random = new Random(seed);
        const [x, inColumns, inRows] = [random.bells(rows * columns), random.bells(columns), random.bells(rows)];
        const place = arena.output(x.byteLength);
        place.f32.set(x);
        const [c, r] = [byColumns ? arena.input(inColumns).at : 0, byRows ? arena.input(inRows).at : 0];
        kernels.scale(place.at, rows, columns, c, r);
        const expected = x.map((v, i) => {
          const own = byColumns ? f(v * inColumns[i % columns]) : v;
          return byRows ? f(own * inRows[Math.floor(i / columns)]) : own;
        });
        assert.equal([...place.f32], [...expected]);
      },
    ),
    { numRuns: runs(60), seed: 1 },
  );
});

test.run();
