// The same bits everywhere: logits, states and texts of every weight format are compared with constants, whatever the runtime,
// the number of threads, the build of the kernels, and the pieces in which the tokens come.
import { type LoadOptions, load, type Model, type Session } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hex8, xxhash32 } from "../../src/bytes/hash.ts";
import { at } from "../files.ts";
import { GOLDEN, TOKENS } from "./goldens.ts";

/** The same logits with the matrices of the f32 file converted. */
const CONVERTED = { q7_0: "dc441158", q5_1: "45555746", q5_0: "88a52e56", q4_1: "778a7968", q4_0: "5721a48b" };

const tokensFor = (model: Model) =>
  Uint32Array.from({ length: TOKENS }, (_, i) => (Math.imul(i, 40503) + 11) % model.info.vocab);

function hashOf(rows: Iterable<ArrayBufferView>): string {
  let hash = 0;
  for (const row of rows) hash = xxhash32(row, hash);
  return hex8(hash);
}

/** A hash over the numbers of a session's state. */
async function stateOf(session: Session): Promise<string> {
  const saved = await session.save();
  const header = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
  return hashOf([saved.subarray(12 + header)]);
}

/** The tokens in pieces of `size`: a hash over all logits, and one over the state. */
async function forward(model: Model, size: number): Promise<[logits: string, state: string]> {
  const tokens = tokensFor(model);
  const session = model.session();
  const rows: Float32Array[] = [];
  for (let at = 0; at < TOKENS; at += size) rows.push(...(await session.forward(tokens.subarray(at, at + size))));
  const found: [string, string] = [hashOf(rows), await stateOf(session)];
  await session.close();
  return found;
}

/** The same by `feed`, which takes larger steps: the state. */
async function feed(model: Model, size: number): Promise<string> {
  const tokens = tokensFor(model);
  const session = model.session();
  for (let at = 0; at < TOKENS; at += size) await session.feed(tokens.subarray(at, at + size));
  const found = await stateOf(session);
  await session.close();
  return found;
}

const OPTIONS = {
  maxTokens: 60,
  temperature: 1.2,
  topP: 0.95,
  frequencyPenalty: 0.2,
  penaltyDecay: 0.9,
  stopTokens: [],
};
const textOf = async (model: Model) =>
  hashOf([new TextEncoder().encode(await model.generate("One day", { ...OPTIONS, seed: 1 }).text())]);

/** The builds that this runtime has; without relaxed SIMD asking for it is refused. */
async function builds(): Promise<("plain" | "relaxed")[]> {
  try {
    const model = await load(at(GOLDEN[0].file), { build: "relaxed", threads: 0 });
    await model.close();
    return ["plain", "relaxed"];
  } catch (error) {
    assert.is((error as { code?: string }).code, "unsupported");
    return ["plain"];
  }
}

const BUILDS = await builds();
console.log(`kernels: ${BUILDS.join(", ")}`);

/** Ways to run: each with the first and the last model. Teams take their time on busy machines, so the others go fewer ways. */
const waysOf = (name: string) =>
  BUILDS.flatMap((build) => {
    const all = name === GOLDEN[0].name || name === GOLDEN.at(-1)!.name;
    const threads = build === "relaxed" ? [0, 2] : all ? [0, 1, 2, 3] : [0];
    return threads.map((threads) => ({ build, threads }));
  });

for (const { name, file, weights, logits, state, text } of GOLDEN)
  test(`${name}: the same bits with 0 to 3 threads, in every build, in pieces of any size, in company`, async () => {
    let saved: Uint8Array | undefined;
    const ways = waysOf(name);
    for (const way of ways) {
      const model = await load(at(file), { weights, ...way });
      const where = `${model.info.build}, ${way.threads} threads (${model.info.mode})`;
      const tokens = tokensFor(model);
      assert.equal(await forward(model, TOKENS), [logits, state], where);
      assert.is(await textOf(model), text, where);

      // What was begun in another way goes on in this one.
      const session = model.session(saved);
      await session.feed(tokens.subarray(session.position));
      assert.is(await stateOf(session), state, where);
      const begun = model.session();
      await begun.feed(tokens.subarray(0, 100));
      saved = await begun.save();

      if (way === ways[0] || way === ways.at(-1)) {
        for (const size of [1, 2, 7, 64, TOKENS]) {
          assert.is(await feed(model, size), state, `pieces of ${size}, ${where}`);
          // Rows of logits come at most 16 at a time, so larger pieces are no other case.
          if (size < 64) assert.equal(await forward(model, size), [logits, state], `pieces of ${size}, ${where}`);
        }
        const write = (seed: number) => model.generate("One day".repeat(seed * 3 - 2), { ...OPTIONS, seed }).text();
        const seeds = [1, 2, 3, 4, 5];
        const alone: string[] = [];
        for (const seed of seeds) alone.push(await write(seed));
        assert.equal(await Promise.all(seeds.map(write)), alone, where);
      }
      await model.close();
    }
  });

test("the other types that matrices can be converted to", async () => {
  for (const [type, logits] of Object.entries(CONVERTED))
    for (const build of BUILDS) {
      const model = await load(at(GOLDEN[0].file), { weights: type as LoadOptions["weights"], build, threads: 0 });
      for (const size of [1, TOKENS]) assert.is((await forward(model, size))[0], logits, `${type}, ${build}`);
      await model.close();
    }
});

test.run();
