// How likely tokens were: in parts, with echo, and against the logits themselves.
import type { GenerateOptions, Model, Part } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { ids, open, standing, standingAfter } from "./setup.ts";

const model = await open();
const stories = await open({ threads: 1, build: "plain" }, "weights/stories-7m.q8_0.gguf");
test.after(async () => {
  await model.close();
  await stories.close();
});

/** In float64, from logits. */
function scoreOf(logits: Float32Array, token: number, top: number) {
  const most = Math.max(...logits);
  const total = most + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  return {
    logprob: logits[token] - total,
    rank: logits.filter((x) => x > logits[token]).length,
    top: order.slice(0, top).map((id) => ({ token: id, logprob: logits[id] - total })),
  };
}

function same(part: Part, logits: Float32Array, top: number): void {
  const right = scoreOf(logits, part.token, top);
  assert.ok(Math.abs(part.logprob! - right.logprob) < 1e-4, `${part.logprob} ${right.logprob}`);
  assert.is(part.rank, right.rank);
  assert.equal(
    part.top!.map(({ token }) => token),
    right.top.map(({ token }) => token),
  );
  part.top!.forEach(({ logprob }, i) => {
    assert.ok(Math.abs(logprob - right.top[i].logprob) < 1e-4);
  });
}

async function partsOf(from: Model, prompt: readonly number[], options: GenerateOptions): Promise<Part[]> {
  const parts: Part[] = [];
  for await (const part of from.generate(prompt, { maxTokens: 20, stopTokens: [], seed: 2, ...options }))
    parts.push(part);
  return parts;
}

for (const [name, from] of [
  ["few tokens", model],
  ["many tokens", stories],
] as const)
  test(`${name}: log-probabilities are those of the logits, whatever the sampler does`, async () => {
    // More than one step's rows of logits.
    const prompt = ids(90);
    for (const [top, options] of [
      [0, {}],
      [1, { temperature: 0 }],
      [20, { temperature: 2, topP: 1, frequencyPenalty: 1, bannedTokens: [5] }],
    ] as const) {
      const plain = await partsOf(from, prompt, options);
      assert.not("logprob" in plain[0]);
      const parts = await partsOf(from, prompt, { ...options, logprobs: top });
      // The same text as without.
      assert.equal(
        parts.map(({ token, text, offset, index }) => ({ token, text, offset, index })),
        plain.map(({ token, text, offset, index }) => ({ token, text, offset, index })),
      );
      const logits = await from.forward([...prompt, ...parts.map(({ token }) => token)]);
      parts.forEach((part, i) => {
        same(part, logits[prompt.length - 1 + i], top);
      });
      if (top === 1)
        for (const {
          top: [first],
          token,
        } of parts as Required<Part>[])
          assert.is(first.token, token);

      const echoed = await partsOf(from, prompt, { ...options, logprobs: top, echo: true });
      assert.equal(
        echoed.map(({ token }) => token),
        [...prompt, ...parts.map(({ token }) => token)],
      );
      assert.equal(
        echoed.map(({ prompt: of }) => of === true),
        echoed.map((_, i) => i < prompt.length),
      );
      // Nothing is before the first token.
      assert.is(echoed[0].logprob, undefined);
      echoed.slice(1).forEach((part, i) => {
        same(part, logits[i], top);
      });
      let text = "";
      echoed.forEach((part, i) => {
        assert.equal([part.index, part.offset], [i, text.length]);
        text += part.text;
      });
      assert.is(text, from.tokenizer.decode(echoed.map(({ token }) => token)));
    }
  });

test("the first token of a prompt is scored where something came before; a prompt without tokens is no prompt", async () => {
  const session = model.session();
  const all = ids(40);
  await session.feed(all.slice(0, 7));
  const parts: Part[] = [];
  for await (const part of session.generate(all.slice(7), { maxTokens: 3, stopTokens: [], logprobs: 3, echo: true }))
    parts.push(part);
  const logits = await model.forward([...all, ...parts.slice(33).map(({ token }) => token)]);
  assert.is(parts.length, 36);
  parts.forEach((part, i) => {
    same(part, logits[6 + i], 3);
  });
  assert.is(
    await standing(session),
    await standingAfter(model, [...all, ...parts.slice(33).map(({ token }) => token)]),
  );
  const more: Part[] = [];
  for await (const part of session.generate([], { maxTokens: 3, stopTokens: [], logprobs: 0, echo: true }))
    more.push(part);
  assert.equal([more.length, more[0].prompt, more[0].top], [3, undefined, []]);
  await session.close();
});

test("echo alone costs no logits; text() has the prompt in front", async () => {
  for (const options of [{}, { logprobs: 2 }]) {
    const one = await partsOf(model, [7], { ...options, echo: true, maxTokens: 2 });
    assert.equal(
      one.map(({ prompt }) => prompt),
      [true, undefined, undefined],
    );
    const text = await stories.generate("Once upon", { seed: 1, maxTokens: 5 }).text();
    assert.is(
      await stories.generate("Once upon", { ...options, seed: 1, maxTokens: 5, echo: true }).text(),
      `Once upon${text}`,
    );
  }
});

test("with a stop string: the text's tokens have theirs, and the sum is theirs", async () => {
  const options = { seed: 4, maxTokens: 60, logprobs: 0 };
  const whole = await stories.generate("Once upon a time", options).text();
  const parts: Part[] = [];
  const generation = stories.generate("Once upon a time", { ...options, stop: whole.slice(33, 38) });
  for await (const part of generation) parts.push(part);
  const known = parts.filter(({ logprob }) => logprob !== undefined);
  assert.ok(known.length >= parts.length - 3);
  const { logprob } = await generation.result;
  assert.is(
    logprob,
    known.reduce((sum, part) => sum + part.logprob!, 0),
  );
});

test("in company: many generations with log-probabilities and echo at once are what they are alone", async () => {
  const options = (i: number) => ({ seed: i, logprobs: i % 4, echo: i % 2 === 0, maxTokens: 10 + i });
  const alone: Part[][] = [];
  for (let i = 0; i < 20; i++) alone.push(await partsOf(model, ids(5 + i * 7, i), options(i)));
  const inline = await open({ threads: 0 });
  for (const from of [model, inline]) {
    const together = await Promise.all(alone.map((_, i) => partsOf(from, ids(5 + i * 7, i), options(i))));
    assert.equal(together, alone);
  }
  await inline.close();
});

test("an abort within a prompt that is echoed", async () => {
  const session = model.session();
  const stop = new AbortController();
  const prompt = ids(20_000);
  const heard: Part[] = [];
  const error = await (async () => {
    for await (const part of session.generate(prompt, { logprobs: 1, echo: true, signal: stop.signal })) {
      heard.push(part);
      if (heard.length === 200) stop.abort(new Error("enough"));
    }
  })().catch((reason) => reason);
  assert.is(error.message, "enough");
  assert.is(heard.length, 200);
  assert.ok(session.position >= 200 && session.position < 20_000);
  assert.is(await standing(session), await standingAfter(model, prompt.slice(0, session.position)));
  await session.close();
});

test("options that make no sense", async () => {
  for (const [options, said] of [
    [{ logprobs: 21 }, /logprobs must be an integer from 0 to 20, not 21/],
    [{ logprobs: -1 }, /logprobs/],
    [{ logprobs: true }, /logprobs .* not true/],
    [{ echo: 1 }, /echo must be true or false, not 1/],
  ] as const)
    await refused(
      Promise.resolve().then(() => model.generate([1], options as never)),
      "input",
      said,
    );
});

test.run();
