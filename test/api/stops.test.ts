// What ends a text: strings across the borders of tokens, which are never shown; tokens; time.
import * as fc from "fast-check";
import type { GenerateOptions, Model } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { ids, open, standing, standingAfter } from "./setup.ts";

const stories = await open({}, "weights/stories-7m.q8_0.gguf");
const inline = await open({ threads: 0, build: "plain" }, "weights/stories-7m.q8_0.gguf");
test.after(async () => {
  await stories.close();
  await inline.close();
});

const PROMPT = "Once upon a time";
const OPTIONS: GenerateOptions = { seed: 3, maxTokens: 60, stopTokens: [] };

async function parts(model: Model, options: GenerateOptions) {
  const session = model.session();
  const generation = session.generate(PROMPT, { ...OPTIONS, ...options });
  const tokens: number[] = [];
  let text = "";
  for await (const part of generation) {
    assert.is(part.offset, text.length);
    assert.is(part.index, tokens.length);
    tokens.push(part.token);
    text += part.text;
  }
  const result = await generation.result;
  assert.is(result.tokens, tokens.length);
  const { tokenizer } = model;
  assert.is(
    await standing(session),
    await standingAfter(model, [tokenizer.bos!, ...tokenizer.encode(PROMPT), ...tokens]),
  );
  assert.is(tokenizer.decode(tokens), text);
  await session.close();
  return { text, result };
}

const whole = await stories.generate(PROMPT, OPTIONS).text();

test("a text ends in front of the first stop string, wherever that begins and ends within tokens", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ from: fc.nat(whole.length - 1), length: fc.integer({ min: 1, max: 12 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.boolean(),
      async (cuts, beside) => {
        const stop = cuts.map(({ from, length }) => whole.slice(from, from + length));
        const { text, result } = await parts(beside ? inline : stories, { stop });
        // The first to be complete; of those that end there the longest.
        const [end] = stop.map((one) => whole.indexOf(one) + one.length).sort((a, b) => a - b);
        const found = stop.filter((one) => whole.slice(0, end).endsWith(one)).sort((a, b) => b.length - a.length)[0];
        assert.is(text, whole.slice(0, end - found.length));
        assert.equal([result.finishReason, result.stop], ["stop", { text: found }]);
        assert.is(await stories.generate(PROMPT, { ...OPTIONS, stop }).text(), text);
      },
    ),
    { numRuns: runs(25) },
  );
});

test("what is held back because a stop string may begin in it comes when it does not, or when the text ends", async () => {
  const { text, result } = await parts(stories, { stop: [`${whole.slice(20, 40)}#`, `${whole.slice(-10)} and so on`] });
  assert.is(text, whole);
  assert.equal([result.finishReason, result.stop], ["length", undefined]);
});

test("a stop string that is longer than the generation may run ahead does not hold it up", async () => {
  const own = await open();
  const options = { maxTokens: 600, temperature: 0, presencePenalty: -100, stopTokens: [] };
  // What came comes again, so it is one character again and again; some prompt has one of ASCII.
  let prompt: number[] = [];
  let all = "";
  for (let i = 0; !/^[ -~]+$/.test(all); i++) {
    prompt = ids(3, i);
    all = await own.generate(prompt, options).text();
  }
  assert.is(new Set(all).size, 1);
  const stop = `${all.slice(0, 500)}\n`;
  for (const way of ["loop", "text"]) {
    let text = "";
    const generation = own.generate(prompt, { ...options, stop });
    if (way === "text") text = await generation.text();
    else for await (const part of generation) text += part.text;
    assert.is(text, all);
  }
  assert.is(await own.generate(prompt, { ...options, stop: all.slice(0, 500) }).text(), "");
  await own.close();
});

test("a stop string at once, and one that is not there", async () => {
  const first = await parts(stories, { stop: whole[0] });
  assert.equal([first.text, first.result.tokens], ["", 0]);
  const none = await parts(stories, { stop: ["\u{1f996}", "Zebra"] });
  assert.is(none.text, whole);
  assert.is((await parts(stories, { stop: [] })).text, whole);
});

test("leaving early, with stop strings on", async () => {
  const session = stories.session();
  const tokens: number[] = [];
  for await (const { token } of session.generate(PROMPT, { ...OPTIONS, stop: "\u{1f996}" })) {
    tokens.push(token);
    if (tokens.length === 5) break;
  }
  const { tokenizer } = stories;
  assert.is(
    await standing(session),
    await standingAfter(stories, [tokenizer.bos!, ...tokenizer.encode(PROMPT), ...tokens]),
  );
  await session.close();
});

test("stop tokens and the end of the text are told", async () => {
  const [token] = stories.tokenizer.encode(whole.slice(0, 10));
  const { finishReason, stop } = await stories.generate(PROMPT, { ...OPTIONS, stopTokens: [1, token] }).result;
  assert.equal([finishReason, stop], ["stop", { token }]);
  const end = await stories.generate(PROMPT, { seed: 1, maxTokens: 100_000, temperature: 1 }).result;
  assert.equal([end.finishReason, end.stop], ["stop", { token: stories.tokenizer.eos[0] }]);
});

test("a time limit ends a generation, in its text or in its prompt, and leaves the session sound", async () => {
  for (const model of [stories, inline]) {
    const session = model.session();
    const generation = session.generate(PROMPT, { ...OPTIONS, maxTokens: 2 ** 31 - 1, maxTime: 200 });
    const tokens: number[] = [];
    for await (const { token } of generation) tokens.push(token);
    const result = await generation.result;
    assert.equal([result.finishReason, result.tokens], ["time", tokens.length]);
    const { tokenizer } = model;
    const all = [tokenizer.bos!, ...tokenizer.encode(PROMPT), ...tokens];
    assert.is(session.position, all.length);
    assert.is(await standing(session), await standingAfter(model, all));
    await session.close();

    const long = model.session();
    const prompt = ids(100_000);
    const late = await long.generate(prompt, { maxTime: 50 }).result;
    assert.equal([late.finishReason, late.tokens], ["time", 0]);
    assert.ok(long.position < prompt.length);
    assert.is(await standing(long), await standingAfter(model, prompt.slice(0, long.position)));
    await long.close();
  }
});

test("options that make no sense are named with their range", async () => {
  const cases: [options: object, said: RegExp][] = [
    [{ stop: 5 }, /stop must be a string, or an array of at most 64 strings/],
    [{ stop: [5] }, /stop must be/],
    [{ stop: null }, /stop must be/],
    [{ stop: Array.from({ length: 65 }, (_, i) => `${i}`) }, /at most 64/],
    [{ stop: "" }, /1 to 4096 bytes of UTF-8, not 0/],
    [{ stop: ["a", "b".repeat(4097)] }, /1 to 4096 bytes of UTF-8, not 4097/],
    [{ stop: "\ud83d" }, /surrogate/],
    [{ maxTime: 0 }, /maxTime must be a number from 1/],
    [{ maxTime: Number.NaN }, /maxTime must be a number from 1/],
    [{ maxTime: "5" }, /maxTime/],
  ];
  for (const [options, said] of cases) {
    await refused(
      Promise.resolve().then(() => stories.generate(PROMPT, options)),
      "input",
      said,
    );
  }
});

test.run();
