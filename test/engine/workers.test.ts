// The three ways to run, and what is left when a worker dies: no promise hangs, and states are not lost with the engine.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type LoadOptions, loadModel } from "../../src/api/load.ts";
import type { Model } from "../../src/api/model.ts";
import type { Session } from "../../src/api/session.ts";
import type { RwkvError } from "../../src/errors.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { bench, ended, hashOf, ids, open, standing, standingAfter, V7 } from "./setup.ts";

/** Enough tokens for seconds of work: whatever happens to a worker happens in the middle of it. */
const LONG = ids(200_000);

/** A model whose workers are at hand. */
async function exposed(threads: number) {
  const { platform, workers } = bench();
  return { model: await loadModel(platform, V7, { threads }), workers };
}

/** Feeds a very long prompt; resolves when it is under way. */
function feeding(session: Session, signal?: AbortSignal): { begun: Promise<void>; feed: Promise<number> } {
  let feed!: Promise<number>;
  const begun = new Promise<void>((resolve) => {
    feed = session.feed(LONG, { signal, onProgress: () => resolve() });
  });
  feed.catch(() => {});
  return { begun, feed };
}

/** What may be refused at once, or when it is waited for. */
const later = async <T>(call: () => Promise<T>): Promise<T> => await call();

for (const [name, rank] of [
  ["leader", 0],
  ["follower", 1],
  ["last follower", 2],
] as const)
  test(`the ${name} dies in the middle of a prompt: typed errors, no hang, and the state goes on in another model`, async () => {
    const { model, workers } = await exposed(3);
    // More sessions than the memory has room for at first.
    const others = Array.from({ length: 12 }, () => model.session());
    await Promise.all(others.map((session, i) => session.feed(ids(5, i))));
    const session = model.session();
    const { begun, feed } = feeding(session);
    await begun;
    const generation = model.generate(ids(4), { maxTokens: 100_000, stopTokens: [] });
    await workers[rank].terminate();
    await refused(feed, "engine", /died/, /Load the model again/);
    await refused(generation.result, "engine", /died/);

    // What was committed is there, and is the state of a session that took in just so much.
    const saved = await session.save();
    const fresh = await open();
    const restored = fresh.session(saved);
    assert.ok(restored.position > 0 && restored.position < LONG.length);
    assert.is(await standing(restored), await standingAfter(fresh, LONG.slice(0, restored.position)));
    for (const [i, other] of others.entries())
      assert.is(await standing(fresh.session(await other.save())), await standingAfter(fresh, ids(5, i)));
    await fresh.close();

    await refused(session.feed([1]), "engine");
    await refused(
      later(() => session.generate([1]).result),
      "engine",
    );
    await refused(model.forward([1]), "engine");
    await refused(
      later(() => model.generate([1]).text()),
      "engine",
    );
    // A session that never was cannot be saved, dead engine or not.
    if (rank === 0)
      await refused(
        later(() => model.session().save()),
        "engine",
      );
    await model.close();
    await ended(workers);
    await refused(session.feed([1]), "closed");
  });

test("a worker dies while nothing runs: the next request says so", async () => {
  for (const rank of [0, 1]) {
    const { model, workers } = await exposed(2);
    const session = model.session();
    await session.feed(ids(9));
    await workers[rank].terminate();
    await refused(session.feed([1]), "engine", /died/);
    assert.is(session.position, 9);
    const fresh = await open();
    assert.is(await standing(fresh.session(await session.save())), await standingAfter(fresh, ids(9)));
    await fresh.close();
    await model.close();
    await ended(workers);
  }
});

test("a worker that dies or fails while loading rejects the load", async () => {
  for (const rank of [0, 1]) {
    const { platform, workers } = bench();
    const spawn = () => {
      const handle = platform.spawn!();
      if (workers.length === rank + 1) void workers[rank].terminate();
      return handle;
    };
    const loading = loadModel({ ...platform, spawn }, V7, { threads: 2 });
    await refused(loading, "engine", /died/);
    for (const worker of workers) await worker.terminate();
  }
});

test("a worker with memory of its own: the same bits, aborts are heard, and its death loses the states", async () => {
  const { platform, workers } = bench({ sharesMemory: false });
  const [model, team] = [await loadModel(platform, V7, { threads: 4 }), await open()];
  assert.is(model.info.mode, "worker");
  assert.is(model.info.threads, 1);
  assert.is(workers.length, 1);
  assert.is(hashOf(await model.forward(ids(100))), hashOf(await team.forward(ids(100))));
  const options = { maxTokens: 30, seed: 5, stopTokens: [] };
  assert.is(await model.generate("A text", options).text(), await team.generate("A text", options).text());

  const session = model.session();
  const stop = new AbortController();
  const { begun, feed } = feeding(session, stop.signal);
  await begun;
  stop.abort(new Error("enough"));
  assert.is(await feed.catch((error) => error.message), "enough");
  assert.ok(session.position > 0 && session.position < LONG.length);
  assert.is(await standing(session), await standingAfter(team, LONG.slice(0, session.position)));

  await workers[0].terminate();
  await refused(session.feed([1]), "engine", /died/);
  await refused(session.save(), "engine");
  await model.close();
  await team.close();
});

const MODES: [name: string, load: (options?: LoadOptions) => Promise<Model>][] = [
  ["team", (options) => open({ threads: 2, ...options })],
  ["worker", (options) => open(options, V7, bench({ sharesMemory: false }).platform)],
  ["inline", (options) => open({ threads: 0, ...options })],
  ["no workers", (options) => open(options, V7, bench({ spawn: undefined }).platform)],
];

for (const [name, load] of MODES)
  test(`${name}: as many sessions as there may be, all at once, in memory that has to grow`, async () => {
    const model = await load({ sessions: 40 });
    const sessions = Array.from({ length: 40 }, () => model.session());
    await Promise.all(sessions.map((session, i) => session.feed([i])));
    await Promise.all(sessions.map((session, i) => session.feed(ids(1 + (i % 7), i))));
    const alone = await open({ threads: 0 });
    for (const [i, session] of sessions.entries())
      assert.is(await standing(session), await standingAfter(alone, [i, ...ids(1 + (i % 7), i)]), `session ${i}`);
    await alone.close();
    let error: unknown;
    try {
      model.session();
    } catch (thrown) {
      error = thrown;
    }
    assert.is((error as RwkvError).code, "memory");
    assert.match((error as RwkvError).message, /40 sessions are open/);
    await sessions[17].close();
    const again = model.session();
    await again.feed([3]);
    assert.is(again.position, 1);
    await model.close();
  });

test("one row at a time, equals take turns: nobody waits for another's end", async () => {
  // Inline, where each step's tokens are delivered before the next step.
  const model = await open({ threads: 0, rows: 1 });
  const counts = [0, 0, 0];
  let spread = 0;
  await Promise.all(
    counts.map(async (_, i) => {
      for await (const _part of model.generate([7 + i], { maxTokens: 60, stopTokens: [], seed: 0 })) {
        counts[i]++;
        spread = Math.max(spread, Math.max(...counts) - Math.min(...counts));
      }
    }),
  );
  // Tokens wait for the rest of a character, so the text, that is the seed, decides how many come at once.
  assert.ok(spread <= 6, `one had ${spread} tokens more than another`);
  await model.close();
});

test("a long prompt goes on beside generations, even one row at a time", async () => {
  const model = await open({ threads: 0, rows: 1 });
  const generation = model.generate([7], { maxTokens: 300, stopTokens: [] });
  const session = model.session();
  let generated = 0;
  const reading = (async () => {
    for await (const _part of generation) generated++;
  })();
  await session.feed(ids(60));
  assert.ok(generated < 200, `${generated} tokens were generated before 60 were read`);
  await reading;
  await model.close();
});

test("the same bits with any number of threads, rows in a step, build, and address", async () => {
  const tokens = ids(40);
  const single = await open({ threads: 0 });
  const right = hashOf(await single.forward(tokens));
  await single.close();
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 1, max: 70 }),
      fc.constantFrom(undefined, 8192, 2 ** 31 - 4096),
      async (threads, rows, base) => {
        const model = await open({ threads, rows, base });
        const found = hashOf(await model.forward(tokens));
        await model.close();
        assert.is(found, right);
      },
    ),
    { numRuns: runs(8) },
  );
});

test("above 2 GiB everything is as it is below", async () => {
  const low = await open();
  for (const threads of [0, 2]) {
    const model = await open({ threads, base: 2 ** 31 + 4096 });
    assert.is(hashOf(await model.forward(ids(100))), hashOf(await low.forward(ids(100))));
    const sessions = Array.from({ length: 20 }, (_, i) => ({ session: model.session(), tokens: ids(4, i) }));
    await Promise.all(sessions.map(({ session, tokens }) => session.feed(tokens)));
    for (const { session, tokens } of sessions) {
      const fork = session.fork();
      await session.close();
      assert.is(await standing(fork), await standingAfter(low, tokens));
    }
    const options = { maxTokens: 40, seed: 11, frequencyPenalty: 0.5, stopTokens: [] };
    assert.is(await model.generate("A text", options).text(), await low.generate("A text", options).text());
    await model.close();
  }
  const { platform, workers } = bench();
  const model = await loadModel(platform, V7, { threads: 2, base: 2 ** 31 + 4096 });
  const session = model.session();
  await session.feed(ids(30));
  await workers[0].terminate();
  await refused(session.feed([1]), "engine");
  assert.is(await standing(low.session(await session.save())), await standingAfter(low, ids(30)));
  await model.close();
  await low.close();
});

test("a load that is aborted, at any moment, leaves no worker", async () => {
  for (const moment of [-1, 0, 1, 20, 60]) {
    const { platform, workers } = bench();
    const stop = new AbortController();
    if (moment < 0) stop.abort("enough");
    let calls = 0;
    const onProgress = () => {
      if (calls++ === moment) stop.abort("enough");
    };
    const loading = open({ signal: stop.signal, onProgress }, V7, platform);
    assert.is(await loading.catch((reason) => reason), "enough");
    await ended(workers);
  }
});

test.run();
