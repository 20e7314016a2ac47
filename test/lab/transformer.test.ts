// The Transformer that RWKV is measured beside: its attention against a slow reference, its bits however a prompt is cut, and the synthetic
// models of all versions.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BATCH_TABLE, ROW_BYTES, ROW_POSITION } from "../../assembly/ops.ts";
import { loadInMemory } from "../../src/lab/engine.ts";
import { type Kind, synthetic, VERSIONS } from "../../src/lab/synthetic.ts";
import { cacheBytes } from "../../src/lab/transformer.ts";
import { Random } from "../kernels/random.ts";
import { platform } from "../model/engine.ts";
import { runs } from "../runs.ts";

const BUILDS = ["plain-threads", "relaxed-threads"].filter((build) =>
  WebAssembly.validate(readFileSync(`dist/lab/${build}.wasm`)),
);
const FOLDER = pathToFileURL("dist/lab/");

interface Attention {
  attention(...args: number[]): void;
}

/** One head after another, in float64. */
function reference(q: Float32Array[], k: Float32Array[], v: Float32Array[], size: number): number[][] {
  return q.map((_, t) =>
    Array.from({ length: q[t].length / size }, (_, h) => {
      const channels = Array.from({ length: size }, (_, c) => h * size + c);
      const scores = k
        .slice(0, t + 1)
        .map((key) => channels.reduce((sum, c) => sum + q[t][c] * key[c], 0) / size ** 0.5);
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b, 0);
      return channels.map((c) => weights.reduce((sum, weight, j) => sum + weight * v[j][c], 0) / total);
    }).flat(),
  );
}

/** Runs the kernel over `rows` of q, k, v, so many at a time, heads in two pieces. */
function kernel(
  build: string,
  [q, k, v]: Float32Array[][],
  size: number,
  positions: number,
  chunks: number[],
): number[][] {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  const module = new WebAssembly.Module(readFileSync(`dist/lab/${build}.wasm`));
  const { attention } = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Attention;
  const channels = q[0].length;
  const heads = channels / size;
  const row = Math.ceil(channels / 32) * 32;
  const capacity = Math.ceil(positions / 16) * 16;
  let end = 1 << 16;
  const take = (numbers: number) => {
    const at = end;
    end += Math.ceil((numbers * 4) / 64) * 64 + 64;
    // What nobody wrote must not matter.
    new Float32Array(memory.buffer, at, numbers).fill(1e30);
    return at;
  };
  const table = take((BATCH_TABLE + ROW_BYTES * q.length) / 4);
  const stride = q.length * row;
  const acts = take(stride * 3);
  const [keys, values] = [take(capacity * channels), take(capacity * channels)];
  const out = take(q.length * row);
  const room = take(4 * (size + capacity));
  assert.ok(end < memory.buffer.byteLength);
  const found: number[][] = [];
  for (const n of chunks) {
    const begin = found.length;
    for (let t = 0; t < n; t++) {
      new Uint32Array(memory.buffer, table + t * ROW_BYTES, 4)[ROW_POSITION / 4] = begin + t;
      [q, k, v].forEach(
        (rows, i) => void new Float32Array(memory.buffer, acts + (i * stride + t * row) * 4, row).set(rows[begin + t]),
      );
    }
    const cut = heads >> 1;
    for (const [first, last] of [
      [0, cut],
      [cut, heads],
    ])
      attention(table, n, acts, stride * 4, keys, values, positions, channels, size, out, first, last, room);
    for (let t = 0; t < n; t++) found.push(Array.from(new Float32Array(memory.buffer, out + t * row * 4, channels)));
  }
  return found;
}

for (const build of BUILDS)
  test(`${build}: attention is close to float64, and has the same bits in chunks and token by token`, () => {
    const shape = fc.record({
      size: fc.constantFrom(16, 32, 64),
      heads: fc.integer({ min: 1, max: 3 }),
      chunks: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
      spare: fc.integer({ min: 0, max: 20 }),
      scale: fc.constantFrom(0.1, 1, 10),
      seed: fc.nat(1e6),
    });
    fc.assert(
      fc.property(shape, ({ size, heads, chunks, spare, scale, seed }) => {
        const random = new Random(seed);
        const n = chunks.reduce((a, b) => a + b, 0);
        const rows = (by: number) => Array.from({ length: n }, () => random.bells(size * heads, by));
        const given = [rows(scale), rows(1), rows(1)];
        const found = kernel(build, given, size, n + spare, chunks);
        const [q, k, v] = given;
        reference(q, k, v, size).forEach((row, t) => {
          row.forEach((x, c) => {
            assert.ok(Math.abs(x - found[t][c]) < 2e-5, `token ${t}, channel ${c}: ${found[t][c]}, not ${x}`);
          });
        });
        assert.equal(kernel(build, given, size, n + spare, new Array(n).fill(1)), found);
      }),
      { numRuns: runs(40), seed: 3 },
    );
  });

const SHAPE = { layers: 2, width: 128, vocab: 300 };

for (const kind of [...VERSIONS, "transformer"] as Kind[])
  test(`${kind}: a synthetic model reads a prompt in chunks to the bits that it has token by token`, async () => {
    const file = synthetic(kind, SHAPE, `synthetic ${kind}`);
    const positions = kind === "transformer" ? 150 : undefined;
    const tokens = Array.from({ length: 100 }, (_, i) => (i * 7919) % SHAPE.vocab);
    const logits: Float32Array[][] = [];
    for (const [threads, sizes] of [
      [2, [100]],
      [1, [1, 70, 2, 27]],
      [2, new Array(100).fill(1)],
    ] as const) {
      const model = await loadInMemory(file, { threads, weights: "q8_0", positions, platform, folder: FOLDER });
      try {
        const session = model.session();
        const rows: Float32Array[] = [];
        for (const size of sizes) rows.push(...(await session.forward(tokens.slice(rows.length, rows.length + size))));
        logits.push(rows);
        const state = model.contextBytes(50);
        if (kind === "transformer") assert.is(state, 50 * cacheBytes(SHAPE));
        else assert.is(model.contextBytes(5000), state);
      } finally {
        model.close();
      }
    }
    for (const other of logits.slice(1)) assert.equal(other, logits[0]);
    assert.ok(logits[0].every((row) => row.every((x) => Number.isFinite(x) && Math.abs(x) < 100)));
    // What came before matters: the same token has other logits at another place.
    const [a, b] = [logits[0][0], await again(file, positions, tokens[50], tokens[0])];
    assert.not.equal(b, a);
  });

async function again(file: ReturnType<typeof synthetic>, positions: number | undefined, ...tokens: number[]) {
  const model = await loadInMemory(file, { threads: 1, weights: "q8_0", positions, platform, folder: FOLDER });
  try {
    return (await model.session().forward(tokens)).at(-1)!;
  } finally {
    model.close();
  }
}

test("a text longer than the cache ends the Transformer's engine, not the process", async () => {
  const file = synthetic("transformer", SHAPE, "short");
  const model = await loadInMemory(file, { threads: 2, weights: "q8_0", positions: 16, platform, folder: FOLDER });
  try {
    const session = model.session();
    await session.feed(new Array(16).fill(1));
    let failure: unknown;
    await session.feed([1]).catch((error) => {
      failure = error;
    });
    assert.instance(failure, Error);
  } finally {
    model.close();
  }
});

test.run();
