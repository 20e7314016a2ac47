// Stopping at any moment: what was asked for rejects with the signal's reason, and the session stands where `position` says, in
// the state that a fresh session has that took in just so much.
import * as fc from "fast-check";
import type { Model, Session } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runs } from "../runs.ts";
import { ids, open, openInAllModes, standing, standingAfter } from "./setup.ts";

/** Too much to be done before anybody can stop it. */
const LONG = ids(200_000);
const REASON = new Error("enough");
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.unreachable("nothing was stopped"),
    (reason) => reason,
  );

const MODES = await openInAllModes();
test.after(async () => {
  for (const [, model] of MODES) await model.close();
});

/** The session must stand on a prefix of `tokens`, and go on from there as if nothing had happened. */
async function sound(model: Model, session: Session, tokens: readonly number[]): Promise<void> {
  const { position } = session;
  assert.is(await standing(session), await standingAfter(model, tokens.slice(0, position)));
  const rest = tokens.slice(position, position + 100);
  assert.is(await session.feed(rest), position + rest.length);
  assert.is(await standing(session), await standingAfter(model, tokens.slice(0, position + 100)));
}

for (const [name, model] of MODES) {
  test(`${name}: before it began`, async () => {
    const session = model.session();
    await session.feed(ids(5));
    const signal = AbortSignal.abort(REASON);
    assert.is(await reasonOf(session.feed(LONG, { signal })), REASON);
    assert.is(await reasonOf(session.forward(ids(9), { signal })), REASON);
    assert.is(await reasonOf(session.generate(ids(9), { signal }).text()), REASON);
    assert.is(await reasonOf(model.forward(ids(9), undefined, { signal })), REASON);
    assert.is(await reasonOf(model.generate(ids(9), { signal }).result), REASON);
    assert.is(session.position, 5);
    await sound(model, session, ids(105));
    await session.close();
  });

  test(`${name}: at once, before the engine heard of it`, async () => {
    const session = model.session();
    const stop = new AbortController();
    const feed = session.feed(LONG, { signal: stop.signal });
    stop.abort(REASON);
    assert.is(await reasonOf(feed), REASON);
    await sound(model, session, LONG);
    await session.close();
  });

  test(`${name}: in the middle of a long prompt, by feed, forward and generate`, async () => {
    const session = model.session();
    const stop = new AbortController();
    const seen: number[] = [];
    const onProgress = (position: number) => {
      seen.push(position);
      if (seen.length === 3) stop.abort(REASON);
    };
    assert.is(await reasonOf(session.feed(LONG, { signal: stop.signal, onProgress })), REASON);
    assert.ok(session.position >= seen[2] && session.position < LONG.length, `${session.position}`);
    assert.equal(
      seen,
      [...seen].sort((a, b) => a - b),
    );
    assert.is(seen.at(-1), session.position);
    await sound(model, session, LONG);
    await session.close();

    const other = model.session();
    const soon = new AbortController();
    const forward = other.forward(ids(20_000), { signal: soon.signal });
    setTimeout(() => soon.abort(REASON), 5);
    assert.is(await reasonOf(forward), REASON);
    assert.ok(other.position < 20_000);
    await sound(model, other, LONG);
    const sooner = new AbortController();
    const before = other.position;
    const generation = other.generate(LONG, { signal: sooner.signal });
    setTimeout(() => sooner.abort(REASON), 5);
    assert.is(await reasonOf(generation.text()), REASON);
    assert.is(await reasonOf(generation.result), REASON);
    assert.ok(other.position < before + LONG.length);
    await other.close();
  });

  test(`${name}: in the middle of a generation, by signal, by leaving the loop, by an error in the loop`, async () => {
    const prompt = ids(10);
    const options = { maxTokens: 100_000, seed: 77, stopTokens: [] };
    const whole: number[] = [];
    for await (const { token } of model.generate(prompt, { ...options, maxTokens: 200 })) whole.push(token);

    for (const way of ["signal", "break", "throw"] as const) {
      const session = model.session();
      const stop = new AbortController();
      const heard: number[] = [];
      const thrown = await (async () => {
        for await (const { token } of session.generate(prompt, { ...options, signal: stop.signal })) {
          heard.push(token);
          if (heard.length !== 5) continue;
          if (way === "signal") stop.abort(REASON);
          else if (way === "break") break;
          else throw REASON;
        }
      })().catch((error) => error);
      assert.is(thrown, way === "break" ? undefined : REASON);
      assert.equal(heard, whole.slice(0, 5));
      // Exactly what was read was taken in, and nothing is read after an abort.
      assert.equal([heard.length, session.position], [5, prompt.length + 5]);
      await sound(model, session, [...prompt, ...whole]);
      assert.is((await session.generate([], { maxTokens: 3, stopTokens: [] }).result).tokens, 3);
      await session.close();
    }
  });

  test(`${name}: by cancelling a stream, also while its prompt is still read`, async () => {
    const session = model.session();
    const reader = session.generate(LONG).toReadableStream().getReader();
    const read = reader.read();
    await reader.cancel();
    assert.equal(await read, { done: true, value: undefined });
    assert.ok(session.position < LONG.length);
    await sound(model, session, LONG);
    const second = session.generate([], { maxTokens: 100_000, stopTokens: [] }).toReadableStream().getReader();
    assert.is(typeof (await second.read()).value, "string");
    await second.cancel();
    assert.is((await second.read()).done, true);
    await session.close();
  });

  test(`${name}: generations that still wait for their turn`, async () => {
    const stops = Array.from({ length: 20 }, () => new AbortController());
    const generations = stops.map(({ signal }, i) =>
      model.generate([i], { maxTokens: 100_000, stopTokens: [], signal }),
    );
    setTimeout(() => {
      for (const stop of stops) stop.abort(REASON);
    }, 20);
    for (const { result } of generations) assert.is(await reasonOf(result), REASON);
    assert.is((await model.generate([1], { maxTokens: 4, stopTokens: [] }).result).tokens, 4);
  });

  test(`${name}: at any moment`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 30 }),
        fc.constantFrom("feed" as const, "forward" as const, "generate" as const),
        async (moment, kind) => {
          const session = model.session();
          const tokens = ids(3000);
          const stop = new AbortController();
          const { signal } = stop;
          const work =
            kind === "feed"
              ? session.feed(tokens, { signal })
              : kind === "forward"
                ? session.forward(tokens, { signal })
                : session.generate(tokens, { signal, maxTokens: 1 }).result;
          if (moment < 5) for (let i = 0; i < moment; i++) await Promise.resolve();
          else await new Promise((resolve) => setTimeout(resolve, moment - 5));
          stop.abort(REASON);
          await work.catch((error) => assert.is(error, REASON));
          if (session.position <= tokens.length) {
            const tail = kind === "generate" ? tokens.slice(0, session.position) : tokens;
            assert.is(await standing(session), await standingAfter(model, tail.slice(0, session.position)));
          }
          await session.feed([1]);
          await session.close();
        },
      ),
      { numRuns: runs(12) },
    );
  });
}

test("another session's work goes on where an abort cut a step that they shared", async () => {
  const model = MODES[0][1];
  // Beside the caller every turn of the loop is one step.
  const count = model.info.mode === "inline" ? 1000 : 30_000;
  const right = await standingAfter(model, ids(count));
  const session = model.session();
  const feed = session.feed(ids(count));
  let running = true;
  const done = feed.then(() => {
    running = false;
  });
  let aborts = 0;
  while (running) {
    const other = model.session();
    const stop = new AbortController();
    const work = other.feed(LONG, { signal: stop.signal });
    await new Promise((resolve) => setTimeout(resolve, 1));
    stop.abort(REASON);
    await work.catch(() => aborts++);
    await other.close();
  }
  await done;
  assert.ok(aborts > 0);
  assert.is(await standing(session), right);
  await session.close();
});

test("loading: before, and as tensors arrive", async () => {
  for (const moment of [-1, 0, 1, 20, 60]) {
    const stop = new AbortController();
    if (moment < 0) stop.abort(REASON);
    let calls = 0;
    const onProgress = () => {
      if (calls++ === moment) stop.abort(REASON);
    };
    assert.is(await reasonOf(open({ signal: stop.signal, onProgress })), REASON);
  }
});

test("a callback that throws stops what it watches, with its error", async () => {
  const [, model] = MODES[0];
  const fail = () => {
    throw REASON;
  };
  assert.is(await reasonOf(open({ onProgress: fail })), REASON);
  const session = model.session();
  assert.is(await reasonOf(session.feed(LONG, { onProgress: fail })), REASON);
  assert.ok(session.position > 0 && session.position < LONG.length);
  await sound(model, session, LONG);
  await session.close();
});

test.run();
