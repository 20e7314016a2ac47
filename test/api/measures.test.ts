// Scores, perplexity and embeddings, against the logits and the weights themselves.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cosine } from "../../src/api/cosine.ts";
import { bytesAt } from "../files.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { hashOf, ids, open, parse, standing, V7 } from "./setup.ts";

const STORIES = "weights/stories-7m.q8_0.gguf";
const model = await open();
const stories = await open({}, STORIES);
test.after(async () => {
  await model.close();
  await stories.close();
});

/** In float64: the natural logarithm of a token's probability. */
function logprobOf(logits: Float32Array, token: number): number {
  const most = Math.max(...logits);
  return logits[token] - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
}

const near = (a: number, b: number, by = 1e-4) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b}`);

test("continuations: each as the logits have it, from one prompt, which is read once", async () => {
  const prompt = ids(70);
  const continuations = [ids(3, 5), [7], ids(50, 9), ids(1, 80), ids(3, 5), ids(100, 2)];
  const scores = await model.score(prompt, continuations);
  assert.is(scores.length, continuations.length);
  for (const [i, continuation] of continuations.entries()) {
    const logits = await model.forward([...prompt, ...continuation]);
    const right = continuation.map((token, j) => logprobOf(logits[prompt.length - 1 + j], token));
    const { logprob, perToken, perByte, greedy, tokens, logprobs } = scores[i];
    assert.equal(tokens, continuation);
    logprobs.forEach((one, j) => {
      near(one, right[j]);
    });
    near(
      logprob,
      right.reduce((a, b) => a + b),
      1e-2,
    );
    near(perToken, logprob / continuation.length, 1e-9);
    // All of this fixture's tokens but some are bytes.
    const bytes = continuation.reduce((sum, token) => sum + model.tokenizer.bytes(token).length, 0);
    near(perByte!, logprob / bytes, 1e-9);
    assert.not(greedy);
  }
  assert.equal(scores[4], scores[0]);
});

test("greedy says whether generation would write it", async () => {
  const text = await stories.generate("Once upon a time", { temperature: 0, maxTokens: 12 }).text();
  const [right, wrong] = await stories.score("Once upon a time", [text, text.replace(/\w+$/, "xyz")]);
  assert.equal([right.greedy, wrong.greedy], [true, false]);
  assert.ok(right.logprob > wrong.logprob);
});

test("a model knows what goes on", async () => {
  const choices = [" girl named", " bicycle of", " the the"];
  const scores = await stories.score("Once upon a time, there was a little", choices);
  assert.ok(scores[0].perToken > scores[1].perToken && scores[0].perToken > scores[2].perToken);
});

test("a session stays where it is while it scores, and can go on", async () => {
  const session = model.session();
  await session.feed(ids(20));
  const before = await standing(session);
  const many = Array.from({ length: 40 }, (_, i) => ids(1 + (i % 9), i));
  const working = session.score(many);
  await refused(session.feed([1]), "busy");
  const scores = await working;
  assert.is(await standing(session), before);
  assert.equal(scores, await model.score(ids(20), many));
  // Where nothing is before the first token, it does not count.
  const fresh = model.session();
  const [first] = await fresh.score([ids(5)]);
  assert.equal(first.tokens, ids(5).slice(1));
  await fresh.close();
  await session.close();
});

test("without a vocabulary nothing is told of bytes", async () => {
  const mute = await open({}, "test/fixtures/v7.small.safetensors");
  assert.match(mute.info.tokenizer, /^none/);
  const [score] = await mute.score([1, 5, 2], [[3, 4]]);
  assert.not("perByte" in score);
  assert.not("bitsPerByte" in (await mute.perplexity([1, 5, 2])));
  await mute.close();
});

test("perplexity: e to the mean surprise, bits per byte, over texts of any length", async () => {
  for (const length of [2, 3, 33, 64, 65, 1000]) {
    const tokens = ids(length);
    const logits = await model.forward(tokens);
    const right = tokens.slice(1).map((token, i) => logprobOf(logits[i], token));
    const sum = right.reduce((a, b) => a + b);
    const found = await model.perplexity(tokens);
    assert.is(found.tokens, length - 1);
    near(found.logprob, sum, 1e-5 * length + 1e-4);
    near(found.perplexity / Math.exp(-sum / (length - 1)), 1, 1e-4);
    const bytes = tokens.slice(1).reduce((total, token) => total + model.tokenizer.bytes(token).length, 0);
    near(found.bitsPerByte!, -found.logprob / Math.LN2 / bytes, 1e-9);
  }
  const text = "Once upon a time, there was a little girl named Lily. She loved to play.";
  const { perplexity, tokens } = await stories.perplexity(text);
  // The start token counts for nothing but as what the first one follows.
  assert.is(tokens, stories.tokenizer.encode(text).length);
  assert.ok(perplexity < 5, `${perplexity}`);
  assert.ok((await stories.perplexity("girl Lily upon of the the bicycle")).perplexity > 50);
});

test("the same bits in every mode, build and company", async () => {
  const prompt = ids(45);
  const continuations = [ids(4), ids(30, 3)];
  const right = {
    scores: await model.score(prompt, continuations),
    perplexity: await model.perplexity(ids(200)),
    mean: hashOf([await model.embed(ids(200))]),
    last: hashOf([await model.embed(ids(200), { pooling: "last" })]),
    state: hashOf([await model.embed(ids(200), { pooling: "state" })]),
  };
  for (const options of [
    { threads: 0, build: "plain" },
    { threads: 1 },
    { threads: 2, build: "plain" },
    { rows: 3 },
  ] as const) {
    const other = await open(options, V7);
    // All at once, and more than there are places for.
    const crowd = Array.from({ length: 30 }, (_, i) => other.perplexity(ids(20 + i)));
    const [scores, perplexity, mean, last, state] = await Promise.all([
      other.score(prompt, continuations),
      other.perplexity(ids(200)),
      other.embed(ids(200)),
      other.embed(ids(200), { pooling: "last" }),
      other.embed(ids(200), { pooling: "state" }),
    ]);
    assert.equal({ scores, perplexity, mean: hashOf([mean]), last: hashOf([last]), state: hashOf([state]) }, right);
    await Promise.all(crowd);
    await other.close();
  }
});

test("embeddings: the head's input, its mean over the tokens, and the state", async () => {
  // A model whose head can be read from its file.
  const file = await bytesAt("test/fixtures/v7.small.safetensors");
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const read = (name: string) => {
    const [from, to] = header[name].data_offsets;
    return new Float32Array(file.buffer.slice(8 + length + from, 8 + length + to));
  };
  const [head, bias] = [read("head.weight"), read("head.bias")];
  const small = await open({ threads: 0 }, "test/fixtures/v7.small.safetensors");
  const tokens = [3, 1, 4, 1, 5, 9, 2, 6];
  const width = small.info.width;
  const logits = await small.forward(tokens);
  const mean = new Float64Array(width);
  for (let n = 1; n <= tokens.length; n++) {
    const last = await small.embed(tokens.slice(0, n), { pooling: "last" });
    assert.is(last.length, width);
    logits[n - 1].forEach((logit, i) => {
      near(
        last.reduce((sum, x, j) => sum + x * head[i * width + j], bias[i]),
        logit,
      );
    });
    last.forEach((x, i) => {
      mean[i] += x;
    });
  }
  assert.equal(
    await small.embed(tokens),
    Float32Array.from(mean, (x) => x / tokens.length),
  );

  const session = small.session();
  await session.feed(tokens);
  const { parts } = parse(await session.save());
  parts.delete("hidden");
  const state = await small.embed(tokens, { pooling: "state" });
  assert.equal(
    [...state],
    [...parts.values()].flatMap((part) => [...part]),
  );
  await small.close();
});

test("texts that are alike have embeddings that are", async () => {
  const [a, b, c] = await Promise.all(
    ["The little dog ran in the park.", "A small dog ran to the park.", "Mom said: no, you must say sorry!"].map(
      (text) => stories.embed(text),
    ),
  );
  assert.ok(cosine(a, b) > cosine(a, c), `${cosine(a, b)} ${cosine(a, c)}`);
});

test("cosine", async () => {
  assert.is(cosine([1, 0], [0, 5]), 0);
  assert.is(cosine([3, 4], [6, 8]), 1);
  assert.is(cosine([3, 4], [-3, -4]), -1);
  assert.is(cosine([0, 0], [1, 2]), 0);
  assert.is(cosine([], []), 0);
  await refused((async () => cosine([1], [1, 2]))(), "input", /Embeddings of 1 and 2 numbers/);
  for (const [one, said] of [
    [null, "null"],
    ["1", '"1"'],
    [{ length: 1 }, "an object"],
  ] as const)
    await refused((async () => cosine(one as never, [1]))(), "input", new RegExp(`array of numbers, not ${said}\\.`));
  const vector = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(vector, vector, (x, y) => {
      const found = cosine(x, y);
      assert.ok(found >= -1 && found <= 1);
      assert.is(found, cosine(y, x));
    }),
    { numRuns: runs(500) },
  );
});

test("aborts, and what is none", async () => {
  for (const own of [model, stories]) {
    const stop = new AbortController();
    const { signal } = stop;
    const long = ids(100_000);
    const works = [
      own.perplexity(long, { signal }),
      own.embed(long, { signal }),
      own.score([1], [long, long], { signal }),
    ];
    let progress = 0;
    const told = own.perplexity(long, {
      signal,
      onProgress: (tokens) => {
        progress = tokens;
        stop.abort(new Error("enough"));
      },
    });
    const ends = await Promise.all([...works, told].map((work) => work.catch((error) => error.message)));
    assert.equal(ends, ["enough", "enough", "enough", "enough"]);
    assert.ok(progress > 0 && progress < 100_000);
    // Nothing is left behind.
    assert.is((await own.perplexity(ids(5))).tokens, 4);
  }
  const stopped = AbortSignal.abort(new Error("enough"));
  assert.is(await model.embed([1], { signal: stopped }).catch((error) => error.message), "enough");
  await refused(model.score([1], [[2], []]), "input", /Continuation 1 is empty/);
  await refused(model.score([1], "text" as never), "input", /array of prompts/);
  await refused(model.score([1], [[260]]), "input", /Token 0 of the prompt is 260/);
  await refused(model.session().score([[1]]), "input", /nothing is before it/);
  await refused(model.perplexity([1]), "input", /at least two tokens/);
  await refused(model.embed([]), "input", /no tokens/);
  await refused(model.embed([1], { pooling: "max" as never }), "input", /"mean", "last" or "state", not "max"/);
});

test.run();
