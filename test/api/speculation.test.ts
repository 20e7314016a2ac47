// Guessing ahead changes how many tokens a step gives, and nothing else: text, scores, states, endings are the same bits.
import * as fc from "fast-check";
import type { GenerateOptions, Model, Part, SpeculateOptions } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { ids, open, standing, standingAfter, V7 } from "./setup.ts";

const model = await open({ threads: 1, build: "plain" });
const rounded = await open({ threads: 1 }, "test/fixtures/v7.q8_0.gguf");
test.after(async () => {
  await model.close();
  await rounded.close();
});

/** Something that repeats itself. */
const PROMPT = [...ids(12), ...ids(12), ...ids(5)];
const OPTIONS: GenerateOptions = { maxTokens: 80, stopTokens: [] };

/** All that can be seen of a generation, read up to a part. */
async function seen(from: Model, options: GenerateOptions, leave = Number.POSITIVE_INFINITY) {
  const session = from.session();
  const generation = session.generate(PROMPT, { ...OPTIONS, ...options });
  const parts: Part[] = [];
  for await (const part of generation) if (parts.push(part) >= leave) break;
  const found = { parts, standing: await standing(session) };
  await session.close();
  const result = leave === Number.POSITIVE_INFINITY ? await generation.result : undefined;
  return { ...found, result };
}

/** The same with and without guesses; answers how many were right. */
async function same(from: Model, options: GenerateOptions, speculate: SpeculateOptions, leave?: number) {
  const [plain, guessed] = [await seen(from, options, leave), await seen(from, { ...options, speculate }, leave)];
  const { guessed: counts, ...rest } = guessed.result ?? {};
  const { ...expected } = plain.result ?? {};
  if (options.seed === undefined && options.temperature === 0) {
    delete (rest as { seed?: bigint }).seed;
    delete (expected as { seed?: bigint }).seed;
  }
  assert.equal(guessed.parts, plain.parts);
  assert.is(guessed.standing, plain.standing);
  assert.equal(rest, expected);
  return counts;
}

const KINDS: GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 0.7, seed: 3, logprobs: 3 },
  { temperature: 1.5, topP: 1, seed: 4, frequencyPenalty: 0.5, penaltyDecay: 0.9, penalizePrompt: true },
  { seed: 5, mirostat: {} },
  { seed: 6, dry: {}, xtc: { probability: 0.7 }, echo: true, logprobs: 0 },
];

for (const options of KINDS)
  test(`lookup: ${JSON.stringify(options)}`, async () => {
    for (const tokens of [1, 6]) {
      for (const lookup of [1, 3]) await same(model, options, { lookup, tokens });
    }
  });

for (const options of KINDS)
  test(`a draft: ${JSON.stringify(options)}`, async () => {
    for (const tokens of [1, 5]) {
      const counts = await same(model, options, { draft: rounded, tokens });
      assert.ok(counts!.proposed > 0);
      // What penalties and mirostat do to the target is not known to the draft.
      if (options.temperature === 0) assert.ok(counts!.accepted > counts!.proposed / 2, JSON.stringify(counts));
    }
  });

test("every version, with any number of threads, in every build", async () => {
  for (const file of ["v4.bf16.pth", "v5.0.bf16.pth", "v5.1.bf16.pth", "v5.2.bf16.pth", "v6.bf16.pth", "v7.bf16.pth"]) {
    for (const options of [{ threads: 0, build: "plain" }, { threads: 2 }, { threads: 3, weights: "q8_0" }] as const) {
      const own = await open({ ...options, vocabulary: "bytes" }, `test/fixtures/${file}`);
      // Its own draft: everything is right, so all kinds of steps occur.
      const all = await same(own, { temperature: 1, seed: 1 }, { draft: own, tokens: 3 });
      assert.is(all!.accepted, all!.proposed, file);
      await same(own, { temperature: 0 }, { lookup: 1, tokens: 7 });
      await own.close();
    }
  }
});

test("repetition is found, and taken in several tokens at a step", async () => {
  // The same token again and again.
  const options = { temperature: 0, presencePenalty: -100 };
  const counts = await same(model, options, { lookup: 2, tokens: 8 });
  assert.ok(counts!.accepted >= 50, JSON.stringify(counts));
  assert.is(counts!.accepted, counts!.proposed);
});

test("endings anywhere, and readers that leave anywhere", async () => {
  const stories = await open({}, "weights/stories-7m.q8_0.gguf");
  const exact = await open({ threads: 1 }, "test/fixtures/stories-7m.f16.gguf");
  const prompt = "Once upon a time there was a dog. The dog";
  const options: GenerateOptions = { seed: 8, maxTokens: 60 };
  const whole = await stories.generate(prompt, { ...options, maxTokens: 60, stopTokens: [] }).text();
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        maxTokens: fc.integer({ min: 1, max: 60 }),
        leave: fc.integer({ min: 1, max: 70 }),
        from: fc.nat(whole.length - 1),
        length: fc.integer({ min: 1, max: 6 }),
        tokens: fc.integer({ min: 1, max: 8 }),
        way: fc.constantFrom("lookup", "draft"),
        stops: fc.boolean(),
      }),
      async ({ maxTokens, leave, from, length, tokens, way, stops }) => {
        const speculate = way === "lookup" ? { lookup: 1, tokens } : { draft: exact, tokens };
        const found = [undefined, speculate].map(async (one) => {
          const session = stories.session();
          const stop = stops ? whole.slice(from, from + length) : [];
          const generation = session.generate(prompt, { ...options, maxTokens, stop, speculate: one });
          const parts: Part[] = [];
          for await (const part of generation) if (parts.push(part) === leave) break;
          const where = await standing(session);
          await session.close();
          return { parts, where };
        });
        const [plain, guessed] = await Promise.all(found);
        assert.equal(guessed, plain);
      },
    ),
    { numRuns: runs(25) },
  );
  await stories.close();
  await exact.close();
});

test("in company, with draft and lookup, more guesses than a step has room for", async () => {
  const own = await open({ threads: 2, rows: 24 });
  const options = (i: number): GenerateOptions => ({
    ...OPTIONS,
    seed: i,
    temperature: 0.6,
    maxTokens: 40,
    speculate: i % 3 === 0 ? undefined : i % 3 === 1 ? { lookup: 1, tokens: 16 } : { draft: rounded, tokens: 6 },
  });
  const texts = await Promise.all(Array.from({ length: 24 }, (_, i) => own.generate(PROMPT, options(i)).text()));
  for (const [i, text] of texts.entries()) {
    assert.is(await model.generate(PROMPT, { ...options(i), speculate: undefined }).text(), text);
  }
  await own.close();
});

test("a draft's session follows the text, to wherever the reader left", async () => {
  const own = await open({ threads: 0 }, V7);
  for (const leave of [3, 17, Number.POSITIVE_INFINITY]) {
    const [session, draft] = [own.session(), rounded.session()];
    await Promise.all([session.feed(ids(9)), draft.feed(ids(9))]);
    const tokens: number[] = [];
    const generation = session.generate(PROMPT, { ...OPTIONS, seed: 2, maxTokens: 40, speculate: { draft } });
    for await (const { token } of generation) if (tokens.push(token) === leave) break;
    const all = [...ids(9), ...PROMPT, ...tokens];
    assert.equal([session.position, draft.position], [all.length, all.length]);
    assert.is(await standing(session), await standingAfter(own, all));
    assert.is(await standing(draft), await standingAfter(rounded, all));
    await session.close();
    await draft.close();
  }
  await own.close();
});

test("aborts at any moment leave both models usable", async () => {
  for (const moment of [0, 1, 2, 5, 20]) {
    const session = model.session();
    const stop = new AbortController();
    const speculate = { draft: rounded, tokens: 4 };
    const work = session.generate(ids(3000), { ...OPTIONS, maxTokens: 100_000, signal: stop.signal, speculate }).result;
    if (moment > 0) await new Promise((resolve) => setTimeout(resolve, moment));
    stop.abort(new Error("enough"));
    assert.is(await work.catch((error) => error.message), "enough");
    assert.is(await standing(session), await standingAfter(model, ids(3000).slice(0, session.position)));
    await session.close();
  }
  for (const one of [model, rounded])
    assert.is((await one.generate([1], { maxTokens: 5, stopTokens: [] }).result).tokens, 5);
  // All places of the draft are free again.
  await Promise.all(Array.from({ length: 20 }, () => rounded.score([1], [[2]])));
});

test("a draft that is closed ends what it guesses for with that error", async () => {
  const draft = await open({ threads: 1 });
  const session = model.session();
  const parts = session
    .generate(PROMPT, { ...OPTIONS, maxTokens: 100_000, speculate: { draft } })
    [Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) await parts.next();
  await draft.close();
  await refused(
    (async () => {
      while (!(await parts.next()).done);
    })(),
    "closed",
  );
  assert.is(await session.feed([1]), session.position);
  await session.close();
});

test("options that make no sense, and drafts that are none", async () => {
  const stories = await open({ threads: 0 }, "weights/stories-7m.q8_0.gguf");
  const none = await open({ threads: 0 }, "test/fixtures/v7.small.safetensors");
  for (const [speculate, said] of [
    [{}, /speculate needs one of lookup and draft/],
    [{ lookup: 2, draft: model }, /one of lookup and draft/],
    [{ lookup: 0 }, /speculate\.lookup must be an integer from 1 to 16, not 0/],
    [{ lookup: 2, tokens: 17 }, /speculate\.tokens must be an integer from 1 to 16, not 17/],
    [{ loookup: 2 }, /speculate must be an object with any of lookup, draft, tokens/],
    [3, /speculate must be an object/],
    [{ draft: 5 }, /a model, or a session of one/],
    [{ draft: {} }, /a model, or a session of one/],
    [{ draft: stories }, /The draft model has \d+ tokens, this one 260/],
  ] as const)
    await refused(
      (async () => {
        await model.generate(PROMPT, { speculate: speculate as never }).text();
      })(),
      "input",
      said,
    );
  await refused(
    none
      .generate([1], { speculate: { draft: none } })
      .text()
      .then(() => model.generate([1], { speculate: { draft: none } }).text()),
    "input",
    /12/,
  );
  const session = model.session();
  await refused(session.generate([1], { speculate: { draft: session } }).text(), "busy");
  await session.close();
  await stories.close();
  await none.close();
});

test.run();
