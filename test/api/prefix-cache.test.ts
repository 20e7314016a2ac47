// States behind texts that were read before: found by the longest beginning, bounded, and of no influence on any bit.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Model } from "../../src/api/model.ts";
import type { GenerateOptions } from "../../src/generate.ts";
import { ids, open, standing, standingAfter, V7 } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";

const plain = await open();
const { stateBytes } = plain.info;
test.after(() => plain.close());

const OPTIONS: GenerateOptions = { maxTokens: 12, stopTokens: [], seed: 1 };
const openCached = (states: number, options = {}) => open({ prefixCache: states * stateBytes, ...options });

/** Tokens of a generation, and how many of its prompt's were cached. */
async function generate(model: Model, prompt: readonly number[], options: GenerateOptions = {}) {
  const generation = model.generate(prompt, { ...OPTIONS, ...options });
  const tokens: number[] = [];
  for await (const { token } of generation) tokens.push(token);
  const { cachedTokens, promptTokens } = await generation.result;
  assert.is(promptTokens, prompt.length);
  return { tokens, cached: cachedTokens };
}

test("the same prompt, a longer one, one that goes on with the answer, and one with the same beginning", async () => {
  for (const threads of [0, 1, 2]) {
    const model = await openCached(16, { threads });
    const prompt = ids(100);
    const expected = async (tokens: number[], options = {}) => (await generate(plain, tokens, options)).tokens;
    const first = await generate(model, prompt);
    assert.equal(first, { tokens: await expected(prompt), cached: 0 });
    assert.equal(await generate(model, prompt), { tokens: first.tokens, cached: 100 });
    assert.equal(await generate(model, prompt, { seed: 2 }), {
      tokens: await expected(prompt, { seed: 2 }),
      cached: 100,
    });
    // As one that remembers a conversation by its text does.
    const longer = [...prompt, ...first.tokens, ...ids(30, 7)];
    assert.equal(await generate(model, longer), { tokens: await expected(longer), cached: 112 });
    // Where two prompts part there is no state yet, but a third one will find it.
    const [b, c] = [1, 2].map((n) => [...prompt.slice(0, 60), ...ids(20, n)]);
    assert.equal(await generate(model, b), { tokens: await expected(b), cached: 0 });
    assert.equal(await generate(model, c), { tokens: await expected(c), cached: 60 });
    // Only whole entries count, from the very beginning.
    assert.is((await generate(model, prompt.slice(1))).cached, 0);
    const { lookups, hits, cachedTokens } = model.prefixCache!;
    assert.equal([lookups, hits, cachedTokens], [7, 4, 100 + 100 + 112 + 60]);
    await model.close();
  }
});

test("sessions find their beginning too, piece by piece, and say where they stand", async () => {
  const model = await openCached(32);
  const text = ids(120);
  const one = model.session();
  await one.feed(text.slice(0, 50));
  await one.feed(text.slice(50, 90));
  const other = model.session();
  const heard: number[] = [];
  assert.is(await other.feed(text, { onProgress: (position) => heard.push(position) }), 120);
  assert.equal(model.prefixCache!.cachedTokens, 90);
  assert.is(await standing(other), await standingAfter(plain, text));
  // In pieces: what is known of both together, less what was read already.
  const third = model.session();
  await third.feed(text.slice(0, 20));
  await third.feed(text.slice(20, 60));
  assert.is(await standing(third), await standingAfter(plain, text.slice(0, 60)));
  assert.is(model.prefixCache!.cachedTokens, 90 + 30);
  // Forks know what their source knows; restored sessions know nothing, and are not mistaken for new ones.
  const fork = third.fork();
  await fork.feed(text.slice(60, 120));
  assert.is(model.prefixCache!.cachedTokens, 90 + 30 + 60);
  assert.is(await standing(fork), await standingAfter(plain, text));
  const restored = model.session(await third.save());
  await restored.feed(text.slice(60));
  assert.is(model.prefixCache!.cachedTokens, 90 + 30 + 60);
  assert.is(await standing(restored), await standingAfter(plain, text));
  // Logits and scores of the prompt take reading it.
  const fourth = model.session();
  assert.is((await fourth.forward(text)).length, 120);
  assert.is(await standing(fourth), await standingAfter(plain, text));
  await fourth.feed([7]);
  assert.is(await standing(fourth), await standingAfter(plain, [...text, 7]));
  let echoed = 0;
  for await (const part of model.generate(text, { ...OPTIONS, echo: true, logprobs: 0 })) if (part.prompt) echoed++;
  assert.is(echoed, 120);
  assert.is(model.prefixCache!.cachedTokens, 90 + 30 + 60);
  await model.close();
});

test("candidates and scores read a prompt once, whoever read it", async () => {
  const model = await openCached(8);
  const prompt = ids(80);
  await generate(model, prompt);
  const candidates = await model.candidates(prompt, { ...OPTIONS, n: 3 });
  const right = await plain.candidates(prompt, { ...OPTIONS, n: 3 });
  assert.equal(
    candidates.map(({ cachedTokens, ...rest }) => rest),
    right,
  );
  assert.equal(
    candidates.map(({ cachedTokens }) => cachedTokens),
    [80, 80, 80],
  );
  assert.equal(await model.score(prompt, [ids(5)]), await plain.score(prompt, [ids(5)]));
  assert.is(model.prefixCache!.hits, 2);
  await model.close();
});

test("what was not used for the longest time goes first, and there are never more states than asked for", async () => {
  const model = await openCached(4);
  const cache = model.prefixCache!;
  assert.is(cache.limit, 4 * stateBytes);
  const prompts = [0, 1, 2, 3, 4, 5].map((i) => ids(40, i * 50));
  // Behind each of them and behind its answer.
  for (const prompt of prompts.slice(0, 2)) await generate(model, prompt);
  assert.equal([cache.entries, cache.bytes], [4, 4 * stateBytes]);
  assert.is((await generate(model, prompts[0])).cached, 40);
  for (const prompt of prompts.slice(2)) {
    await generate(model, prompt);
    assert.ok(cache.entries <= 4);
  }
  assert.is((await generate(model, prompts[1])).cached, 0);
  assert.is((await generate(model, prompts[5])).cached, 40);
  cache.clear();
  assert.equal([cache.entries, cache.bytes], [0, 0]);
  assert.is((await generate(model, prompts[5])).cached, 0);
  assert.is((await generate(model, prompts[5])).cached, 40);
  await model.close();
});

test("readers that leave, aborts, time limits, stop strings: what is kept is what it says", async () => {
  const model = await openCached(64, { sessions: 8 });
  const base = ids(3000);
  const expected = async (prompt: number[]) => (await generate(plain, prompt)).tokens;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          length: fc.integer({ min: 1, max: 600 }),
          branch: fc.nat(3),
          way: fc.constantFrom("whole", "leave", "abort", "feed", "time"),
          moment: fc.nat(6),
        }),
        { minLength: 1, maxLength: 8 },
      ),
      async (jobs) => {
        await Promise.all(
          jobs.map(async ({ length, branch, way, moment }) => {
            const prompt = [...base.slice(0, length), ...ids(40, branch * 9)];
            const stop = new AbortController();
            const session = model.session();
            if (way === "abort") setTimeout(() => stop.abort(new Error("enough")), moment);
            const tokens: number[] = [];
            if (way === "feed") await session.feed(prompt);
            else {
              const maxTime = way === "time" ? 1 + moment : undefined;
              const generation = session.generate(prompt, { ...OPTIONS, signal: stop.signal, maxTime });
              try {
                for await (const { token } of generation) {
                  tokens.push(token);
                  if (way === "leave" && tokens.length > moment) break;
                }
              } catch (error) {
                assert.is((error as Error).message, "enough");
              }
            }
            const all = [...prompt, ...tokens].slice(0, session.position);
            assert.is(await standing(session), await standingAfter(plain, all));
            if (way === "whole") assert.equal(tokens, await expected(prompt));
            await session.close();
          }),
        );
        // Whatever is in the cache now, it is right.
        const prompt = [...base.slice(0, jobs[0].length), ...ids(40, jobs[0].branch * 9), ...ids(9)];
        assert.equal((await generate(model, prompt)).tokens, await expected(prompt));
      },
    ),
    { numRuns: runs(12) },
  );
  await model.close();
});

test("a draft, penalties over the prompt, and more at once than there is room for", async () => {
  const model = await openCached(2, { sessions: 4 });
  const draft = await open({ threads: 1 }, "test/fixtures/v7.q8_0.gguf");
  const prompt = ids(90);
  const options = { penalizePrompt: true, frequencyPenalty: 0.7, speculate: { draft } };
  const right = await generate(plain, prompt, { ...options, speculate: undefined });
  for (let i = 0; i < 3; i++) assert.equal((await generate(model, prompt, options)).tokens, right.tokens);
  const many = await Promise.all([0, 1, 2, 3].map((i) => generate(model, ids(70, i * 3), options)));
  for (const [i, { tokens }] of many.entries())
    assert.equal(tokens, (await generate(plain, ids(70, i * 3), { ...options, speculate: undefined })).tokens);
  await draft.close();
  await model.close();
});

test("without a cache nothing is said of one; sizes that make no sense", async () => {
  assert.is(plain.prefixCache, undefined);
  assert.is((await generate(plain, [1])).cached, undefined);
  await refused(open({ prefixCache: -1 }), "input", /prefixCache must be a number from 0/);
  await refused(open({ prefixCache: "1 GB" as never }), "input", /prefixCache/);
  await refused(open({ prefixCache: 100 }, V7), "input", /100 bytes is too small/, new RegExp(`${stateBytes}`));
});

test.run();
