// Several answers to a prompt: those of single generations, at once, and the likeliest of them.
import type { Part } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { ids, open, standing, standingAfter } from "./setup.ts";

const stories = await open({}, "weights/stories-7m.q8_0.gguf");
test.after(() => stories.close());

const PROMPT = "Tom had a dog.";
const OPTIONS = { seed: 11, maxTokens: 25, temperature: 1.2 };

test("candidate i is what a generation with the seed plus i says", async () => {
  const own = [stories, await open({ threads: 0, build: "plain", sessions: 1 }, "weights/stories-7m.q8_0.gguf")];
  for (const model of own) {
    const options = { ...OPTIONS, stop: ".", penalizePrompt: true, presencePenalty: 1 };
    const candidates = await model.candidates(PROMPT, { ...options, n: 20 });
    assert.is(candidates.length, 20);
    for (const [i, candidate] of candidates.entries()) {
      assert.is(candidate.seed, BigInt(OPTIONS.seed + i));
      const generation = stories.generate(PROMPT, { ...options, seed: OPTIONS.seed + i, logprobs: 0 });
      const parts: Part[] = [];
      for await (const part of generation) parts.push(part);
      const { text, parts: found, perToken, ...result } = candidate;
      assert.equal(found, parts);
      assert.is(text, parts.map((part) => part.text).join(""));
      assert.equal(result, await generation.result);
      assert.is(perToken, result.tokens > 0 ? result.logprob / result.tokens : Number.NEGATIVE_INFINITY);
    }
  }
  await own[1].close();
});

test("seeds go round at 2^64, and a random one is told", async () => {
  const [a, b] = await stories.candidates(PROMPT, { ...OPTIONS, seed: 2n ** 64n - 1n, n: 2 });
  assert.equal([a.seed, b.seed], [2n ** 64n - 1n, 0n]);
  assert.is(b.text, await stories.generate(PROMPT, { ...OPTIONS, seed: 0 }).text());
  const [one] = await stories.candidates(PROMPT, { maxTokens: 5 });
  assert.is(await stories.generate(PROMPT, { maxTokens: 5, seed: one.seed }).text(), one.text);
});

test("the best of several are those with the largest mean log-probability", async () => {
  const all = await stories.candidates(PROMPT, { ...OPTIONS, n: 9 });
  const best = await stories.candidates(PROMPT, { ...OPTIONS, n: 3, bestOf: 9 });
  assert.equal(best, [...all].sort((a, b) => b.perToken - a.perToken).slice(0, 3));
  assert.ok(best[0].perToken > Math.min(...all.map(({ perToken }) => perToken)));
});

test("parts come as they are made, with the number of their candidate and the alternatives asked for", async () => {
  const heard: Part[][] = [[], [], []];
  const candidates = await stories.candidates(PROMPT, {
    ...OPTIONS,
    n: 3,
    logprobs: 2,
    onPart: (part, i) => heard[i].push(part),
  });
  assert.equal(
    heard,
    candidates.map(({ parts }) => parts),
  );
  assert.is(heard[0][0].top!.length, 2);
});

test("a session stays behind the prompt, and goes on with the answer that is chosen", async () => {
  const session = stories.session();
  await session.feed("Once upon a time.");
  const candidates = await session.candidates(PROMPT, { ...OPTIONS, n: 4 });
  const { tokenizer } = stories;
  const before = [tokenizer.bos!, ...tokenizer.encode("Once upon a time."), ...tokenizer.encode(PROMPT)];
  assert.is(session.position, before.length);
  assert.is(await standing(session), await standingAfter(stories, before));
  const chosen = candidates[2].parts.map(({ token }) => token);
  await session.feed(chosen);
  assert.is(await standing(session), await standingAfter(stories, [...before, ...chosen]));
  assert.is((await session.candidates([], { ...OPTIONS, n: 2 }))[1].promptTokens, 0);
  await session.close();
});

test("many at once, more than there are places", async () => {
  const model = await open({ threads: 2, sessions: 2 });
  const options = { maxTokens: 12, stopTokens: [], seed: 100 };
  const right = await model.candidates(ids(9), { ...options, n: 64 });
  const all = await Promise.all(
    Array.from({ length: 24 }, (_, i) => model.candidates(ids(9), { ...options, seed: 100 + i, n: 5 })),
  );
  for (const [i, some] of all.entries()) {
    assert.equal(
      some.map(({ text }) => text),
      right.slice(i, i + 5).map(({ text }) => text),
    );
  }
  await model.close();
});

test("aborts and errors end all of them and leave the session free", async () => {
  const session = stories.session();
  const stop = new AbortController();
  let parts = 0;
  const options = { n: 20, maxTokens: 100_000, stopTokens: [], signal: stop.signal };
  const onPart = () => {
    if (++parts === 30) stop.abort(new Error("enough"));
  };
  const end = await session.candidates(PROMPT, { ...options, onPart }).catch((error) => error.message);
  assert.is(end, "enough");
  const { position } = session;
  const fail = () => {
    throw new Error("no");
  };
  assert.is(await session.candidates([], { n: 3, onPart: fail }).catch((error) => error.message), "no");
  const closing = session.candidates([], { n: 3, maxTokens: 100_000, stopTokens: [] });
  await refused(session.feed("x"), "busy");
  assert.is(session.position, position);
  await session.close();
  await refused(closing, "closed");
  assert.is((await stories.candidates(PROMPT, { n: 2, maxTokens: 3 })).length, 2);
});

test("options that make no sense", async () => {
  for (const [options, said] of [
    [{ n: 0 }, /n must be an integer from 1 to 64, not 0/],
    [{ n: 65 }, /n must be/],
    [{ n: 4, bestOf: 3 }, /bestOf must be an integer from 4 to 64, not 3/],
    [{ echo: true }, /Candidates have no echo/],
    [{ temperature: -1 }, /temperature/],
    [{ stop: "" }, /stop string/],
  ] as const)
    await refused(stories.candidates(PROMPT, options as never), "input", said);
  await refused(stories.candidates([]), "input", /nothing to continue/);
});

test.run();
