// Generations: options, seeds, endings, streams, company.
import * as fc from "fast-check";
import type { ErrorCode, GenerateOptions, Generation, Part } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hex8, xxhash32 } from "../../src/bytes/hash.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { ids, open, parse, standing, standingAfter } from "./setup.ts";

const model = await open();
test.after(() => model.close());

const thrown = (work: () => unknown, code: ErrorCode, ...patterns: RegExp[]) =>
  refused(Promise.resolve().then(work), code, ...patterns);

const PROMPT = ids(6);

/** The tokens of a generation; none of the fixture's tokens ends it. */
async function tokensOf(options: GenerateOptions, prompt: readonly number[] = PROMPT): Promise<number[]> {
  const session = model.session();
  const generation = session.generate(prompt, { maxTokens: 40, stopTokens: [], ...options });
  const tokens: number[] = [];
  for await (const { token } of generation) tokens.push(token);
  const { tokens: count } = await generation.result;
  await session.close();
  return tokens.slice(0, count);
}

test("options out of range are named with their range, and leave no session behind", async () => {
  const cases: [option: string, values: unknown[], range: RegExp][] = [
    ["maxTokens", [0, -1, 2 ** 31, 1.5, Number.POSITIVE_INFINITY, "8", null], /an integer from 1 to 2147483647/],
    ["temperature", [-0.1, 100.5, Number.NaN, "1", null, true], /a number from 0 to 100/],
    ["topP", [0, -1, 1.01, Number.NaN, "0.5"], /a number from above 0 to 1/],
    ["topK", [-1, 2 ** 31, 0.5, "1"], /an integer from 0 to 2147483647/],
    ["repetitionPenalty", [0, 0.001, -1, 101, Number.NaN], /a number from 0.01 to 100/],
    ["presencePenalty", [-101, 101, Number.NaN], /a number from -100 to 100/],
    ["frequencyPenalty", [-101, 101, Number.NaN], /a number from -100 to 100/],
    ["penaltyDecay", [-0.1, 1.1, Number.NaN], /a number from 0 to 1/],
    [
      "seed",
      [-1, 0.5, 2 ** 53, Number.NaN, -1n, 2n ** 64n, "1", null],
      /an integer from 0 to 2\^53 - 1, or a bigint below 2\^64/,
    ],
  ];
  const session = model.session();
  for (const [option, values, range] of cases)
    for (const value of values) {
      const said = typeof value === "string" ? `"${value}"` : String(value);
      const patterns = [new RegExp(`^${option} must be`), range, new RegExp(`not ${said.replace(".", "\\.")}\\.`)];
      await thrown(() => model.generate(PROMPT, { [option]: value }), "input", ...patterns);
      await thrown(() => session.generate(PROMPT, { [option]: value }), "input", ...patterns);
    }
  for (const stopTokens of [[260], [-1], [1.5], ["1"], [3, Number.NaN]])
    await thrown(
      () => model.generate(PROMPT, { stopTokens: stopTokens as number[] }),
      "input",
      /a stop token must be an integer from 0 to 259/,
    );
  for (const stopTokens of [5, "5", {}, new Uint32Array(1)])
    await thrown(() => model.generate(PROMPT, { stopTokens: stopTokens as number[] }), "input", /array of token ids/);
  assert.is(session.position, 0);
  await session.close();
  const all = Array.from({ length: 32 }, () => model.session());
  for (const one of all) await one.close();
});

test("the edges of the ranges work", async () => {
  const greedy = await tokensOf({ temperature: 0 });
  const edges: GenerateOptions[] = [
    { temperature: 100, topP: 1 },
    { temperature: 1e-45 },
    { temperature: 1e-40, topP: 1 },
    { temperature: 3e-39, topP: 1 },
    { topP: Number.MIN_VALUE },
    { topK: 1 },
    { topK: 2 ** 31 - 1 },
    { presencePenalty: 100, frequencyPenalty: -100, penaltyDecay: 0 },
    { repetitionPenalty: 100 },
    { seed: 0 },
    { seed: 2n ** 64n - 1n },
    { seed: Number.MAX_SAFE_INTEGER },
    { maxTokens: 1 },
  ];
  for (const options of edges) {
    const found = await tokensOf(options);
    assert.is(found.length, options.maxTokens ?? 40);
    // So cold, or so few to choose from, that only the likeliest is left.
    const cold = options.temperature !== undefined && options.temperature < 1;
    if (cold || options.topK === 1 || options.topP === Number.MIN_VALUE) assert.equal(found, greedy);
  }
});

test("greedy is the likeliest token each time", async () => {
  const tokens = await tokensOf({ temperature: 0 });
  const logits = await model.forward([...PROMPT, ...tokens]);
  tokens.forEach((token, i) => {
    const row = logits[PROMPT.length - 1 + i];
    assert.is(token, row.indexOf(Math.max(...row)));
  });
});

test("a seed gives the same text, another seed another; a random run says its seed", async () => {
  const options = { temperature: 1.5, topP: 1 };
  assert.equal(await tokensOf({ ...options, seed: 42 }), await tokensOf({ ...options, seed: 42n }));
  const texts = new Set<string>();
  for (let seed = 0; seed < 20; seed++) texts.add((await tokensOf({ ...options, seed })).join());
  // Both halves of the seed count.
  for (const seed of [1n << 32n, 1n << 33n, 1n << 63n]) texts.add((await tokensOf({ ...options, seed })).join());
  assert.is(texts.size, 23);

  const random = [1, 2, 3].map(() => model.generate(PROMPT, { ...options, maxTokens: 40, stopTokens: [] }));
  const seeds = new Set<bigint>();
  for (const generation of random) {
    const text = await generation.text();
    const { seed } = await generation.result;
    seeds.add(seed);
    assert.ok(seed >= 0n && seed < 1n << 53n);
    for (const given of [seed, Number(seed)])
      assert.is(await model.generate(PROMPT, { ...options, maxTokens: 40, stopTokens: [], seed: given }).text(), text);
  }
  assert.is(seeds.size, 3);
  assert.is((await model.generate(PROMPT, { seed: 2n ** 64n - 1n, maxTokens: 1 }).result).seed, 2n ** 64n - 1n);
});

test("it ends after maxTokens, with all of them taken in", async () => {
  const session = model.session();
  const generation = session.generate(PROMPT, { maxTokens: 7, stopTokens: [], temperature: 0 });
  assert.equal(await generation.result, {
    finishReason: "length",
    promptTokens: 6,
    tokens: 7,
    seed: (await generation.result).seed,
  });
  assert.is(session.position, 13);
  const greedy = await tokensOf({ temperature: 0 });
  assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...greedy.slice(0, 7)]));
  // And goes on where it ended, as if it had not.
  const rest: number[] = [];
  for await (const { token } of session.generate([], { maxTokens: 9, stopTokens: [], temperature: 0 }))
    rest.push(token);
  assert.equal(rest.slice(0, 9), greedy.slice(7, 16));
  await session.close();
});

test("it ends at a stop token, which is neither text nor taken in", async () => {
  const greedy = await tokensOf({ temperature: 0 });
  const stop = greedy.find((token, i) => i > 3 && !greedy.slice(0, i).includes(token))!;
  const at = greedy.indexOf(stop);
  const session = model.session();
  const generation = session.generate(PROMPT, { stopTokens: [stop, 259], temperature: 0, maxTokens: 40 });
  const heard: number[] = [];
  for await (const { token } of generation) heard.push(token);
  assert.equal(heard.slice(0, at), greedy.slice(0, at));
  const { finishReason, tokens } = await generation.result;
  assert.equal([finishReason, tokens], ["stop", at]);
  assert.is(session.position, PROMPT.length + at);
  assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...greedy.slice(0, at)]));
  await session.close();
  // As the very first token: an empty text.
  const empty = model.generate(PROMPT, { stopTokens: [greedy[0]], temperature: 0 });
  assert.is(await empty.text(), "");
  assert.equal([(await empty.result).finishReason, (await empty.result).tokens], ["stop", 0]);
});

test("without stopTokens, the vocabulary's end of text ends it", async () => {
  assert.equal(model.tokenizer.eos, [0]);
  // At this temperature all tokens are about as likely.
  const options = { temperature: 100, topP: 1, maxTokens: 100_000, seed: 9 };
  const generation = model.generate(PROMPT, options);
  const { finishReason, tokens } = await generation.result;
  assert.is(finishReason, "stop");
  assert.ok(tokens < 10_000);
  const { finishReason: other } = await model.generate(PROMPT, { ...options, maxTokens: tokens + 1, stopTokens: [] })
    .result;
  assert.is(other, "length");
});

test("penalties change the text as they say", async () => {
  const plain = await tokensOf({ temperature: 0 });
  const repeats = (tokens: number[]) => tokens.length - new Set(tokens).size;
  assert.ok(repeats(plain) > 0, "nothing to penalise");
  // So large that no token comes twice.
  for (const options of [{ presencePenalty: 100 }, { frequencyPenalty: 100 }])
    assert.is(repeats(await tokensOf({ temperature: 0, ...options })), 0, JSON.stringify(options));
  // So small that each comes again and again.
  const same = await tokensOf({ temperature: 0, presencePenalty: -100 });
  assert.equal([...new Set(same)], [plain[0]]);
  assert.ok((await tokensOf({ temperature: 0, repetitionPenalty: 5 })).join() !== plain.join());
  // What decays at once counts for the next token only.
  const decayed = await tokensOf({ temperature: 0, frequencyPenalty: 100, penaltyDecay: 0 });
  assert.ok(decayed.every((token, i) => token !== decayed[i - 1]));
  assert.ok(repeats(decayed) > 0);
  assert.equal(await tokensOf({ temperature: 0, repetitionPenalty: 1, presencePenalty: 0, penaltyDecay: 0.5 }), plain);
});

test("parts hold whole characters and make up the text; the stream is the same text", async () => {
  // All bytes are about as likely, so that most are not UTF-8, and some are.
  const options = { temperature: 50, topP: 1, seed: 4, maxTokens: 2000, stopTokens: [] };
  const tokens: number[] = [];
  let text = "";
  const generation = model.generate(PROMPT, options);
  for await (const part of generation) {
    text += part.text;
    tokens.push(part.token);
  }
  const count = (await generation.result).tokens;
  assert.is(count, 2000);
  assert.is(text, model.tokenizer.decode(tokens.slice(0, count)));
  assert.is(await model.generate(PROMPT, options).text(), text);
  let streamed = "";
  const stream = model.generate(PROMPT, options).toReadableStream();
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    assert.ok(read.value.length > 0);
    streamed += read.value;
  }
  assert.is(streamed, text);
  const bytes = await new Response(
    model.generate(PROMPT, options).toReadableStream().pipeThrough(new TextEncoderStream()),
  ).text();
  assert.is(bytes, text);
});

test("a generation can be read only once, and its result at any time", async () => {
  const read = async (generation: Generation) => {
    for await (const _part of generation);
  };
  const generation = model.generate(PROMPT, { maxTokens: 3, stopTokens: [] });
  await read(generation);
  await refused(read(generation), "input", /only once/);
  await refused(generation.text(), "input", /only once/);
  await refused(
    (async () => {
      await generation.toReadableStream().getReader().read();
    })(),
    "input",
    /only once/,
  );
  assert.is((await generation.result).tokens, 3);
  assert.is((await generation.result).tokens, 3);
  // Not read at all, it ends all the same.
  assert.is((await model.generate(PROMPT, { maxTokens: 500, stopTokens: [] }).result).tokens, 500);
});

test("in company, also of more than there are places, each gives the text it gives alone", async () => {
  const options = (i: number): GenerateOptions => ({
    seed: i,
    maxTokens: 20 + i * 3,
    temperature: 0.5 + i / 10,
    topP: i % 2 ? 1 : 0.8,
    topK: i % 3 ? 0 : 30,
    frequencyPenalty: i % 4 ? 0 : 0.7,
    stopTokens: [],
  });
  const prompts = Array.from({ length: 20 }, (_, i) => ids(1 + ((i * 29) % 150), i));
  const alone: number[][] = [];
  for (const [i, prompt] of prompts.entries()) alone.push(await tokensOf(options(i), prompt));
  for (const threads of [0, 3]) {
    const other = await open({ threads });
    const together = await Promise.all(
      prompts.map(async (prompt, i) => {
        const generation = other.generate(prompt, options(i));
        const tokens: number[] = [];
        for await (const { token } of generation) tokens.push(token);
        return tokens.slice(0, (await generation.result).tokens);
      }),
    );
    assert.equal(together, alone);
    await other.close();
  }
});

test("in any company of feeds, forwards and generations", async () => {
  const job = fc.record({
    kind: fc.constantFrom("feed" as const, "forward" as const, "generate" as const),
    length: fc.integer({ min: 1, max: 200 }),
    first: fc.nat(259),
    tokens: fc.integer({ min: 1, max: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(job, { minLength: 2, maxLength: 14 }), async (jobs) => {
      const work = async ({ kind, length, first, tokens }: (typeof jobs)[number]) => {
        const session = model.session();
        if (kind === "feed") await session.feed(ids(length, first));
        else if (kind === "forward") await session.forward(ids(length, first));
        else await session.generate(ids(length, first), { maxTokens: tokens, seed: first, stopTokens: [] }).result;
        const found = await standing(session);
        await session.close();
        return found;
      };
      const together = await Promise.all(jobs.map(work));
      for (const [i, one] of jobs.entries()) assert.is(await work(one), together[i]);
    }),
    { numRuns: runs(10) },
  );
});

test("logits that are no numbers end a generation with an error, and hurt nobody else", async () => {
  const session = model.session();
  await session.feed(PROMPT);
  const saved = await session.save();
  // The same state, but for numbers that are none: soundly written, so only computing finds out.
  const length = new DataView(saved.buffer).getUint32(8, true);
  const { header, numbers } = parse(saved);
  numbers.fill(Number.NaN);
  const { checksum: _, ...rest } = header as typeof header & { checksum: string };
  const checksum = hex8(xxhash32(numbers, xxhash32(new TextEncoder().encode(JSON.stringify(rest)))));
  const json = new TextEncoder().encode(JSON.stringify({ ...header, checksum }).padEnd(length));
  assert.is(json.length, length);
  saved.set(json, 12);
  saved.set(new Uint8Array(numbers.buffer), 12 + length);
  const broken = model.session(saved);
  const other = tokensOf({ seed: 1 });
  await refused(broken.generate([], { stopTokens: [] }).result, "engine", /logits are not numbers/);
  assert.equal(await other, await tokensOf({ seed: 1 }));
  assert.is((await session.generate([], { maxTokens: 2, stopTokens: [] }).result).tokens, 2);
  await broken.close();
  await session.close();
});

test("every part is one token, however a text ends within a character", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const generation = model.generate([7], { maxTokens: 3, temperature: 100, topP: 1, seed, stopTokens: [] });
    const parts: Part[] = [];
    for await (const part of generation) parts.push(part);
    assert.is(parts.length, (await generation.result).tokens);
    const bytes = parts.flatMap(({ token }) => [...model.tokenizer.bytes(token)]);
    assert.is(
      parts.map(({ text }) => text).join(""),
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)),
    );
  }
});

test("a tokenizer that throws ends its generation with that error, in every mode", async () => {
  for (const threads of [0, 2]) {
    const broken = {
      kind: "mine",
      size: model.tokenizer.size,
      eos: [],
      encode: () => Uint32Array.of(7),
      decode: () => "",
      bytes: () => {
        throw new RangeError("no such bytes");
      },
    };
    const own = await open({ threads, vocabulary: broken });
    const error = await own
      .generate("x", { maxTokens: 20 })
      .text()
      .then(
        () => undefined,
        (reason) => reason,
      );
    assert.instance(error, RangeError);
    assert.is((await own.forward([1])).length, 1);
    await own.close();
  }
});

test.run();
