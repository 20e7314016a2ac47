// How many ranks compute a step: by times that are made up here.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Crew } from "../../src/engine/crew.ts";
import { ids, open, standing, standingAfter } from "./setup.ts";

/** Steps of `rows` rows for a while; `time`: milliseconds of one, by how many ranks. How many steps each number of ranks had. */
function go(crew: Crew, rows: number, duration: number, time: (ranks: number) => number, napped = false) {
  const had = new Map<number, number>();
  for (let spent = 0; spent < duration; ) {
    const ranks = crew.of(rows);
    const took = time(ranks);
    crew.took(took, rows, napped && ranks > 1);
    spent += took;
    had.set(ranks, (had.get(ranks) ?? 0) + 1);
  }
  return had;
}

/** The share of the time that went to other numbers of ranks than `best`. */
function wasted(had: Map<number, number>, best: number, time: (ranks: number) => number): number {
  let [all, other] = [0, 0];
  for (const [ranks, steps] of had) {
    all += steps * time(ranks);
    if (ranks !== best) other += steps * time(ranks);
  }
  return other / all;
}

test("one rank is one rank", () => {
  assert.equal([...go(new Crew(1), 1, 1000, () => 1).keys()], [1]);
});

test("all ranks while that is quickest; what trials of others take is little, and less and less", () => {
  const time = (ranks: number) => 8 / ranks;
  const crew = new Crew(8);
  const first = go(crew, 1, 20_000, time);
  assert.ok(wasted(first, 8, time) < 0.04);
  assert.equal([...first.keys()].sort(), [1, 2, 4, 8]);
  assert.ok(wasted(go(crew, 1, 50_000, time), 8, time) < 0.01);
});

test("fewer at once where ranks wait for each other's cores, all again when they need not", () => {
  const crew = new Crew(2);
  const free = (ranks: number) => 0.4 / ranks;
  const busy = (ranks: number) => (ranks > 1 ? 5 : 0.5);
  go(crew, 1, 1000, free);
  assert.ok(wasted(go(crew, 1, 5000, busy, true), 1, busy) < 0.04);
  const again = go(crew, 1, 20_000, free);
  assert.ok(wasted(again, 2, free) < 0.5);
  assert.is(crew.of(1), 2);
  // What kept a core busy for a moment is soon forgotten.
  go(crew, 1, 100, busy, true);
  assert.is(crew.of(1), 1);
  assert.ok(wasted(go(crew, 1, 1000, free), 2, free) < 0.5);
  // From the start, when nothing is known yet.
  const fresh = go(new Crew(2), 1, 1000, busy, true);
  assert.ok(fresh.get(2)! < 40, String(fresh.get(2)));
});

test("what a small step takes says nothing of large ones", () => {
  const crew = new Crew(2);
  const time = (rows: number) => (ranks: number) => (rows === 1 ? (ranks === 1 ? 1 : 2) : 64 / ranks);
  go(crew, 1, 2000, time(1));
  go(crew, 64, 20_000, time(64));
  assert.is(crew.of(1), 1);
  assert.is(crew.of(64), 2);
});

test("of long steps one is enough to try", () => {
  const time = (ranks: number) => 1200 / ranks;
  const had = go(new Crew(2), 64, 60_000, time, true);
  assert.is(had.get(1), 1);
  const busy = (ranks: number) => (ranks > 1 ? 2000 : 1200);
  assert.ok(go(new Crew(2), 64, 60_000, busy, true).get(2)! < 10);
});

test("steps that take long for other reasons change nothing for long", () => {
  fc.assert(
    fc.property(fc.integer({ min: 30, max: 200 }), fc.nat(200), (every, first) => {
      const crew = new Crew(2);
      let step = first;
      const time = (ranks: number) => (2 / ranks) * (step++ % every === 0 ? 30 : 1);
      const had = go(crew, 1, 20_000, time);
      assert.ok(had.get(2)! > 10 * had.get(1)!);
    }),
  );
});

test("after a step that was cut short the next is of all ranks, and counts for nothing", () => {
  const crew = new Crew(2);
  const busy = (ranks: number) => (ranks > 1 ? 5 : 0.5);
  go(crew, 1, 5000, busy, true);
  assert.is(crew.of(1), 1);
  crew.gather();
  assert.is(crew.of(1), 2);
  // Cut short again.
  crew.gather();
  assert.is(crew.of(64), 2);
  crew.took(0.001, 64, false);
  assert.is(crew.of(1), 1);
});

test("all ranks where the clock is too coarse to say which number is quicker", () => {
  const crew = new Crew(2);
  let now = 0;
  for (let step = 0; step < 2000; step++) {
    const before = Math.floor(now / 100);
    now += crew.of(1) > 1 ? 2 : 1;
    crew.took((Math.floor(now / 100) - before) * 100, 1, false);
  }
  assert.is(crew.of(1), 2);
});

test("only numbers that divide that of all ranks", () => {
  for (const ranks of [2, 3, 6, 7, 12]) {
    const tried = [...go(new Crew(ranks), 1, 100_000, () => 1).keys()];
    assert.ok(tried.length > 1 && tried.every((size) => ranks % size === 0), tried.join());
  }
});

test("a team whose number changes from step to step gives the same bits", async () => {
  const one = await open({ threads: 1 });
  const text = ids(4000);
  const right = await standingAfter(one, text);
  for (const threads of [2, 4, 6]) {
    const model = await open({ threads });
    const session = model.session();
    // Steps of one token, of a few and of many; all numbers of ranks are tried while they go on.
    for (let at = 0, take = 1; at < text.length; at += take, take = (take * 5) % 131) {
      await session.feed(text.slice(at, at + take));
    }
    assert.is(await standing(session), right, `${threads} threads`);
    await model.close();
  }
  await one.close();
});

test.run();
