// A generation and its reader: how far ahead it runs, where its session stands when the reader leaves, and that nobody waits for
// somebody who waits for him.
import * as fc from "fast-check";
import type { GenerateOptions, Session } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { ids, open, openInAllModes, standing, standingAfter } from "./setup.ts";

const MODES = await openInAllModes();
test.after(async () => {
  for (const [, model] of MODES) await model.close();
});

const PROMPT = ids(9);
const OPTIONS: GenerateOptions = { maxTokens: 100_000, seed: 5, stopTokens: [], temperature: 1.2 };
const WINDOW = 64;

/** What OPTIONS say after PROMPT. */
const whole: number[] = [];
for await (const { token } of MODES[0][1].generate(PROMPT, { ...OPTIONS, maxTokens: 600 })) whole.push(token);

/** Reads `count` parts, then leaves. */
async function read(session: Session, count: number, options: GenerateOptions = {}): Promise<number[]> {
  const tokens: number[] = [];
  if (count === 0) return tokens;
  for await (const { token } of session.generate(PROMPT, { ...OPTIONS, ...options })) {
    tokens.push(token);
    if (tokens.length === count) break;
  }
  return tokens;
}

for (const [name, model] of MODES) {
  test(`${name}: whoever leaves after any part leaves the session exactly there`, async () => {
    for (const count of [1, 2, 15, 16, 17, 63, 64, 65, 100, 128, 129, 300]) {
      const session = model.session();
      assert.equal(await read(session, count), whole.slice(0, count));
      assert.is(session.position, PROMPT.length + count);
      assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, count)]));
      await session.close();
    }
  });

  test(`${name}: also when all tokens are there already`, async () => {
    for (const count of [1, 10, 29, 30]) {
      const session = model.session();
      const generation = session.generate(PROMPT, { ...OPTIONS, maxTokens: 30 });
      // The engine comes to the end of it meanwhile.
      await model.generate(PROMPT, { ...OPTIONS, maxTokens: 50 }).text();
      let heard = 0;
      for await (const _part of generation) if (++heard === count) break;
      assert.is(session.position, PROMPT.length + count);
      assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, count)]));
      await session.close();
    }
  });

  test(`${name}: an abort while nobody waits for a part`, async () => {
    for (const count of [0, 3, 40]) {
      const session = model.session();
      const stop = new AbortController();
      const parts = session.generate(PROMPT, { ...OPTIONS, signal: stop.signal })[Symbol.asyncIterator]();
      for (let i = 0; i < count; i++) assert.is((await parts.next()).value!.token, whole[i]);
      // Whatever the engine has come to meanwhile.
      await model.generate(PROMPT, { ...OPTIONS, maxTokens: 80 }).text();
      stop.abort(new Error("enough"));
      assert.is(await parts.next().catch((error) => error.message), "enough");
      assert.equal(await parts.next(), { done: true, value: undefined });
      assert.is(session.position, PROMPT.length + count);
      assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, count)]));
      await session.close();
    }
  });

  test(`${name}: an abort of text() and result leaves the session behind the prompt`, async () => {
    for (const way of ["text", "result"] as const) {
      const session = model.session();
      await session.feed(PROMPT);
      const stop = new AbortController();
      const generation = session.generate([], { ...OPTIONS, signal: stop.signal });
      const end = way === "text" ? generation.text() : generation.result;
      await model.generate(PROMPT, { ...OPTIONS, maxTokens: 200 }).text();
      stop.abort(new Error("enough"));
      assert.is(await end.catch((error) => error.message), "enough");
      assert.is(session.position, PROMPT.length);
      assert.is(await standing(session), await standingAfter(model, PROMPT));
      await session.close();
    }
  });

  test(`${name}: a stream that is cancelled`, async () => {
    const session = model.session();
    const reader = session.generate(PROMPT, OPTIONS).toReadableStream().getReader();
    let text = "";
    for (let i = 0; i < 20; i++) text += (await reader.read()).value;
    await reader.cancel();
    const count = session.position - PROMPT.length;
    // Its last token is the one that completed the last piece of text.
    assert.is(model.tokenizer.decode(whole.slice(0, count)), text);
    assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, count)]));
    await session.close();
  });

  test(`${name}: without a reader it stops after some tokens, and others go on`, async () => {
    const [unread, slow] = [model.session(), model.session()];
    const generation = unread.generate(PROMPT, OPTIONS);
    const parts = slow.generate(PROMPT, OPTIONS)[Symbol.asyncIterator]();
    for (let i = 0; i < 100; i++) await parts.next();
    // In turn with those, if they did not stop.
    const tokens = await model.generate(PROMPT, { ...OPTIONS, maxTokens: 600 }).result;
    assert.is(tokens.tokens, 600);
    for (const [session, count] of [
      [unread, 0],
      [slow, 100],
    ] as const) {
      const saved = model.session(await session.save());
      const ahead = saved.position - PROMPT.length - count;
      assert.ok(ahead > 0 && ahead <= WINDOW, `${ahead} tokens ahead`);
      await saved.close();
    }
    assert.is(slow.position, PROMPT.length + 100);
    // They can be taken up again.
    for (let i = 100; i < 300; i++) assert.is((await parts.next()).value!.token, whole[i]);
    await parts.return!();
    await unread.close();
    await refused(generation.text(), "closed");
    await slow.close();
  });

  test(`${name}: result and text() run to the end, whoever reads or does not`, async () => {
    const options = { ...OPTIONS, maxTokens: 400 };
    const text = await model.generate(PROMPT, options).text();
    assert.is(text, model.tokenizer.decode(whole.slice(0, 400)));
    for (const way of ["before", "within", "beside"] as const) {
      const session = model.session();
      const generation = session.generate(PROMPT, options);
      if (way === "before") await generation.result;
      if (way === "beside") void generation.result;
      let heard = "";
      for await (const part of generation) {
        if (way === "within" && heard === "") assert.is((await generation.result).tokens, 400);
        heard += part.text;
      }
      assert.is(heard, text);
      assert.is((await generation.result).tokens, 400);
      assert.is(session.position, PROMPT.length + 400);
      assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, 400)]));
      await session.close();
    }
    // Left early although its end was asked for: still behind what was read.
    const session = model.session();
    const generation = session.generate(PROMPT, options);
    let heard = 0;
    for await (const _part of generation) {
      if (++heard === 7) await generation.result;
      if (heard === 9) break;
    }
    assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...whole.slice(0, 9)]));
    assert.is((await generation.result).tokens, 400);
    await session.close();
  });

  test(`${name}: a session is free when its last part was read`, async () => {
    const session = model.session();
    const parts = session.generate(PROMPT, { ...OPTIONS, maxTokens: 3 })[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) await parts.next();
    assert.equal(await parts.next(), { done: true, value: undefined });
    assert.is(await session.feed([7]), PROMPT.length + 4);
    await session.close();
  });
}

test("readers of any pace, in company: the same tokens, and each session where its reader left", async () => {
  const reader = fc.record({
    seed: fc.nat(1000),
    maxTokens: fc.integer({ min: 1, max: 200 }),
    leave: fc.integer({ min: 1, max: 250 }),
    pause: fc.integer({ min: 1, max: 40 }),
    way: fc.constantFrom("loop", "text", "result", "unread"),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(reader, { minLength: 2, maxLength: 12 }),
      fc.nat(MODES.length - 1),
      async (readers, mode) => {
        const [, model] = MODES[mode];
        await Promise.all(
          readers.map(async ({ seed, maxTokens, leave, pause, way }) => {
            const options = { ...OPTIONS, seed, maxTokens };
            const session = model.session();
            const generation = session.generate(PROMPT, options);
            const tokens: number[] = [];
            if (way === "text") await generation.text();
            else if (way === "result") await generation.result;
            else if (way === "loop") {
              for await (const { token } of generation) {
                tokens.push(token);
                if (tokens.length === leave) break;
                if (tokens.length % pause === 0) await new Promise((resolve) => setTimeout(resolve, 1));
              }
              assert.is(tokens.length, Math.min(maxTokens, leave));
            }
            if (way !== "unread") {
              const count = way === "loop" ? tokens.length : maxTokens;
              assert.is(session.position, PROMPT.length + count);
              const again: number[] = [];
              const same = model.generate(PROMPT, { ...options, maxTokens: count });
              for await (const { token } of same) again.push(token);
              if (way === "loop") assert.equal(tokens, again);
              assert.is(await standing(session), await standingAfter(model, [...PROMPT, ...again]));
            }
            await session.close();
          }),
        );
      },
    ),
    { numRuns: runs(8) },
  );
});

test("as many generations as there are sessions, all at once, each as if alone", async () => {
  for (const threads of [0, 2]) {
    const model = await open({ threads, sessions: 48 });
    const options = (i: number) => ({ ...OPTIONS, seed: i, maxTokens: 30 + (i % 5), frequencyPenalty: i % 3 });
    const texts = await Promise.all(
      Array.from({ length: 48 }, (_, i) => model.generate(ids(1 + i), options(i)).text()),
    );
    for (const [i, text] of texts.entries()) assert.is(await model.generate(ids(1 + i), options(i)).text(), text);
    await model.close();
  }
});

test.run();
