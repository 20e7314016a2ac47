// RWKV-4 to 6 (and small matters of 7): logits and states against float64, on published shapes and on odd ones, in q8_0, and the
// same bits whatever the threads and chunks.
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { xxhash32 } from "../../src/bytes/hash.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { RwkvError } from "../../src/errors.ts";
import type { Source, TensorFile } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { Random } from "../kernels/random.ts";
import { runs } from "../runs.ts";
import { checkpoint, type FileOptions, fileOf, type Sizes } from "./checkpoints.ts";
import { type Options, type Run, run } from "./engine.ts";
import { Oracle, type Settings, type Weights } from "./oracle.ts";

/** The largest differences that f32 arithmetic is allowed: of logits, and of states relative to their largest number. */
const LOGITS = 5e-5;
const STATES = 2e-5;
/** In random models r . k of a first token may all but cancel, before the group norm makes it large; a mistake costs far more. */
const RANDOM = 20;

function numbers(base64: string): Float32Array {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const file = (name: string) => openWeights(bytesSource(name, new Uint8Array(readFileSync(`test/fixtures/${name}`))));

const largest = (x: ArrayLike<number>) => Array.from(x).reduce((top, v) => Math.max(top, Math.abs(v)), 0);
const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  assert.is(a.length, b.length);
  return largest(Array.from(a, (v, i) => v - b[i]));
};

function near(
  found: Run,
  logits: ArrayLike<number>[],
  state: Map<string, ArrayLike<number>>,
  what: string,
  slack = 1,
): void {
  assert.is(found.logits.length, logits.length);
  logits.forEach((row, t) => {
    const off = distance(found.logits[t], row);
    assert.ok(off <= LOGITS * slack, `${what}: logits after token ${t} are off by ${off}`);
  });
  for (const [name, expected] of state) {
    const off = distance(found.state.get(name)!, expected) / Math.max(1, largest(expected));
    assert.ok(off <= STATES * slack, `${what}: ${name} is off by ${off}`);
  }
}

/** A number for all bits of all logits and states. */
function bits({ logits, state }: Run): number {
  return [...logits, ...state.values()].reduce((hash, part) => xxhash32(part, hash), 0);
}

const ARRANGEMENTS: Options[] = [
  { rows: 1 },
  { rows: 5 },
  { rows: 4, near: 0 },
  { threads: 1, rows: 7 },
  { threads: 2 },
  { threads: 3, rows: 3 },
];

for (const name of ["v7.f32.gguf", "v7.f16.gguf", "v6.bf16.pth"])
  test(`${name}: the same bits whether the caches hold its weights or not`, async () => {
    const tokens = Array.from({ length: 20 }, (_, i) => (i * 7) % 60);
    const expected = bits(await run(await file(name), tokens));
    for (const options of ARRANGEMENTS) {
      assert.is(bits(await run(await file(name), tokens, { ...options, near: 0 })), expected, JSON.stringify(options));
    }
  });

/** The same tensors, but with some numbers of some matrices changed, by the last bits of f32. */
function spoilt(file: TensorFile, places: Readonly<Record<string, readonly number[]>>): TensorFile {
  const tensors = new Map(file.tensors);
  for (const [name, indices] of Object.entries(places)) {
    const tensor = tensors.get(name)!;
    const { source } = tensor;
    const own: Source = {
      name: source.name,
      size: source.size,
      async read(offset, length, signal) {
        const bytes = await source.read(offset, length, signal);
        const view = new DataView(bytes.buffer, bytes.byteOffset, length);
        for (const index of indices) {
          const at = tensor.offset + index * 4 - offset;
          if (at >= 0 && at < length) view.setUint32(at, view.getUint32(at, true) | 1, true);
        }
        return bytes;
      },
      close: async () => {},
    };
    tensors.set(name, { ...tensor, source: own });
  }
  return { ...file, tensors };
}

test("matrices of f32 that are bf16 in truth, in one piece, in many, all of them or all but one number: the same bits", async () => {
  const weights = checkpoint({ version: "6", size: 64, heads: 8, ffn: 2048, vocab: 1024 });
  for (const { numbers } of weights.values()) {
    const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
    words.forEach((word, i) => {
      words[i] = word & 0xffff0000;
    });
  }
  const made = fileOf(weights, {});
  const [key, head] = ["blocks.0.ffn.key.weight", "head.weight"];
  const last = 2048 * 512 - 1;
  const tokens = [3, 5, 900, 0];
  for (const places of [
    {},
    { [key]: [0] },
    { [key]: [last] },
    { [key]: [last], [head]: [last - 99, 7] },
    { [head]: [300_000] },
    { "blocks.1.att.time_decay_w1": [5], "blocks.1.att.time_decay_w2": [9] },
  ] as Record<string, number[]>[]) {
    const source = spoilt(made, places);
    const expected = bits(await run(source, tokens, { near: 1 << 30 }));
    for (const threads of [0, 1, 3])
      assert.is(bits(await run(source, tokens, { threads, near: 0 })), expected, `${Object.keys(places)}, ${threads}`);
  }
});

// --- Published checkpoints' shapes -------------------------------------------------------------------------------------

for (const version of ["4", "5.0", "5.1", "5.2", "6"]) {
  const fixture = JSON.parse(readFileSync(`test/fixtures/v${version}.expected.json`, "utf8"));
  const { prompt, vocab } = fixture as { prompt: number[]; vocab: number };

  test(`RWKV-${version}: every logit after every token, and the state`, async () => {
    const all = numbers(fixture.logits);
    const logits = prompt.map((_, t) => all.subarray(t * vocab, (t + 1) * vocab));
    const state = new Map<string, Float32Array>();
    (fixture.state as Record<string, string>[]).forEach((layer, i) => {
      for (const [name, values] of Object.entries(layer)) {
        const part = name === "att" || name === "ffn" ? `${name}.shift` : `att.${name}`;
        state.set(`blocks.${i}.${part}`, numbers(values));
      }
    });
    const found = await run(await file(`v${version}.bf16.pth`), prompt);
    assert.is(found.config.version, version);
    assert.is(found.config.headSize, fixture.headSize ?? 0);
    near(found, logits, state, version);
    // Each part of the state was compared, but for the last layer's output.
    assert.equal(
      [...found.state.keys()].filter((name) => !state.has(name)),
      ["hidden"],
    );
  });

  test(`RWKV-${version}: the same bits with any threads and chunks, also in q8_0`, async () => {
    for (const [weights, arrangements] of [
      [undefined, ARRANGEMENTS],
      ["q8_0", ARRANGEMENTS.slice(-2)],
    ] as const) {
      const once = bits(await run(await file(`v${version}.bf16.pth`), prompt, { weights }));
      for (const options of arrangements) {
        const again = bits(await run(await file(`v${version}.bf16.pth`), prompt, { ...options, weights }));
        assert.is(again, once, JSON.stringify({ weights, ...options }));
      }
    }
  });
}

// --- Shapes of all kinds -----------------------------------------------------------------------------------------------

const tokens = (vocab: number, count = 9) => {
  const random = new Random(vocab);
  return Array.from({ length: count }, () => random.below(vocab));
};

async function compare(
  weights: Weights,
  sizes: Sizes,
  given: FileOptions = {},
  settings: Settings = {},
  options: Options = {},
): Promise<Run> {
  const prompt = tokens(sizes.vocab);
  const oracle = new Oracle(weights, sizes.version, sizes.heads, settings);
  const logits = prompt.map((token) => oracle.step(token));
  const found = await run(fileOf(weights, given), prompt, options);
  near(found, logits, oracle.state, JSON.stringify(sizes), RANDOM);
  return found;
}

const VERSIONS = ["4", "5.0", "5.1", "5.2", "6"] as const;
const SMALL = { size: 16, heads: 3, ffn: 80, vocab: 12 };

test("any head size, width, vocabulary, rank and feed-forward size, with and without ln0, head and bias", async () => {
  const shape = fc.record<Sizes & { turned: boolean; seed: number; threads: number }>({
    version: fc.constantFrom(...VERSIONS),
    size: fc.constantFrom(8, 16, 32, 64, 128),
    heads: fc.integer({ min: 1, max: 3 }),
    ffn: fc.integer({ min: 1, max: 200 }),
    vocab: fc.integer({ min: 12, max: 300 }),
    ranks: fc.tuple(fc.constantFrom(1, 7, 32, 40), fc.constantFrom(1, 5, 64, 100)),
    ln0: fc.boolean(),
    head: fc.constantFrom("own", "tied"),
    headBias: fc.boolean(),
    turned: fc.boolean(),
    seed: fc.nat(1e6),
    threads: fc.constantFrom(0, 0, 0, 2, 3),
  });
  await fc.assert(
    fc.asyncProperty(shape, async ({ turned, seed, threads, ...sizes }) => {
      await compare(checkpoint(sizes, seed), sizes, { turned }, {}, { threads, rows: 4 });
    }),
    { numRuns: runs(30), seed: 5 },
  );
});

test("a vocabulary of 100,000", async () => {
  const sizes: Sizes = { version: "5.2", layers: 1, size: 8, heads: 2, ffn: 40, vocab: 100_000, headBias: true };
  await compare(checkpoint(sizes), sizes);
});

test("no version needs more than one layer, and the same bits for odd shapes too", async () => {
  for (const version of VERSIONS) {
    const sizes: Sizes = { version, ...SMALL, layers: 1, ranks: [3, 9], headBias: true };
    const weights = checkpoint(sizes, 3);
    const once = bits(await compare(weights, sizes));
    for (const options of ARRANGEMENTS) {
      assert.is(
        bits(await run(fileOf(weights), tokens(SMALL.vocab), options)),
        once,
        `${version} ${JSON.stringify(options)}`,
      );
    }
  }
});

test("a residual stream that is halved every n layers", async () => {
  const sizes: Sizes = { version: "6", ...SMALL, layers: 4 };
  for (const every of [1, 2, 3]) {
    const weights = checkpoint(sizes, every);
    for (const [name, { numbers }] of weights) {
      const layer = /^blocks\.(\d+)\.(att\.output|ffn\.value)\.weight$/.exec(name);
      if (layer) numbers.set(numbers.map((x) => x / 2 ** Math.floor(Number(layer[1]) / every)));
    }
    await compare(weights, sizes, { facts: [["rescale_every_n_layers", every]] }, { rescaleEvery: every });
  }
});

test("another epsilon of ln_x", async () => {
  for (const version of ["5.0", "5.2", "6"] as const) {
    const sizes: Sizes = { version, ...SMALL };
    await compare(checkpoint(sizes), sizes, { facts: [["ln_x_epsilon", 1e-5]] }, { headNormEps: 1e-5 });
  }
});

test("numbers that a converter has already brought into form", async () => {
  for (const [version, forms] of [
    ["4", { "att.time_decay": "-exp(x)" }],
    ["5.1", { "att.time_decay": "exp(-exp(x))", "att.time_first": "exp(x)" }],
    ["5.2", { "att.time_decay": "exp(-exp(x))" }],
  ] as const) {
    const sizes: Sizes = { version, ...SMALL };
    const weights = checkpoint(sizes);
    const prompt = tokens(sizes.vocab);
    const oracle = new Oracle(weights, version, sizes.heads);
    const logits = prompt.map((token) => oracle.step(token));
    const functions = {
      "-exp(x)": (x: number) => -Math.exp(x),
      "exp(x)": Math.exp,
      "exp(-exp(x))": (x: number) => Math.exp(-Math.exp(x)),
    };
    const converted = new Map(
      [...weights].map(([name, { shape, numbers }]) => {
        const form = Object.entries(forms).find(([end]) => name.endsWith(end))?.[1];
        return [name, { shape, numbers: form ? numbers.map(functions[form]) : numbers }] as const;
      }),
    );
    near(await run(fileOf(converted, { forms }), prompt), logits, oracle.state, version);
  }
});

test("version 5's bonus is what its name says", async () => {
  const sizes: Sizes = { version: "5.1", ...SMALL };
  const weights = checkpoint(sizes);
  for (const i of [0, 1]) {
    const bonus = weights.get(`blocks.${i}.att.time_first`)!;
    weights.delete(`blocks.${i}.att.time_first`);
    weights.set(`blocks.${i}.att.time_faaaa`, bonus);
  }
  await compare(weights, sizes);
});

test("q8_0: what the format itself loses, and nothing else", async () => {
  for (const version of VERSIONS) {
    for (const sizes of [
      { version, ...SMALL, ranks: [4, 9] },
      { version, size: 64, heads: 2, ffn: 200, vocab: 100, headBias: true },
    ] as Sizes[]) {
      const weights = checkpoint(sizes, 4);
      const prompt = tokens(sizes.vocab, 6);
      const oracle = new Oracle(weights, version, sizes.heads, { integer: true });
      const logits = prompt.map((token) => oracle.step(token));
      const found = await run(fileOf(weights), prompt, { weights: "q8_0" });
      assert.is(found.types.get("blocks.1.att.key.weight"), "q8_0");
      // Where x / scale lies half way between two codes, f32 and float64 may choose differently; with these numbers they do not.
      near(found, logits, oracle.state, JSON.stringify(sizes));
    }
  }
});

test("RWKV-7: heads of 16, no ln0, a head with a bias", async () => {
  const { prompt, vocab, logits } = JSON.parse(readFileSync("test/fixtures/v7.small.expected.json", "utf8"));
  const all = numbers(logits);
  const expected = prompt.map((_: number, t: number) => all.subarray(t * vocab, (t + 1) * vocab));
  near(await run(await file("v7.small.safetensors"), prompt), expected, new Map(), "v7.small");
});

// --- What cannot be -----------------------------------------------------------------------------------------------------

test("tensors that are missing, misshapen or in a form that is not wanted are refused by name", async () => {
  const refuses = async (
    sizes: Sizes,
    change: (weights: Weights) => FileOptions | undefined,
    code: RwkvError["code"],
    message: RegExp,
  ) => {
    const weights = checkpoint(sizes);
    const given = change(weights);
    try {
      await run(fileOf(weights, given), [1]);
    } catch (error) {
      assert.instance(error, RwkvError);
      assert.is((error as RwkvError).code, code);
      assert.match((error as RwkvError).message, message);
      return;
    }
    assert.unreachable(`${message} was expected`);
  };
  const drop = (name: string) => (weights: Weights) => void weights.delete(name);
  const reshape = (name: string, shape: number[]) => (weights: Weights) => {
    weights.set(name, { shape, numbers: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
    return undefined;
  };
  for (const version of VERSIONS) {
    const sizes: Sizes = { version, ...SMALL };
    await refuses(sizes, drop("blocks.1.att.key.weight"), "weights", /lacks the tensor blocks\.1\.att\.key\.weight/);
    await refuses(
      sizes,
      reshape("blocks.1.ffn.value.weight", [48, 79]),
      "weights",
      /ffn\.value\.weight.*\[48, 79\].*\[48, 80\]/,
    );
    await refuses(sizes, reshape("blocks.1.att.time_decay", [5]), "weights", /att\.time_decay.*\[5\]/);
  }
  const six: Sizes = { version: "6", ...SMALL };
  await refuses(six, drop("blocks.1.att.time_maa_w2"), "weights", /lacks the tensor blocks\.1\.att\.time_maa_w2/);
  await refuses(six, reshape("blocks.0.att.time_maa_w1", [48, 162]), "weights", /time_maa_w1.*162/);
  await refuses(
    six,
    () => ({ forms: { "att.time_decay": "exp(-exp(x))" } }),
    "unsupported",
    /time_decay.*exp\(-exp\(x\)\)/,
  );
  await refuses({ version: "5.1", ...SMALL, size: 12 }, () => undefined, "weights", /head size 12/);
  await refuses({ version: "5.1", ...SMALL }, reshape("blocks.0.att.time_decay", [7]), "weights", /head size/);
});

test.run();
