// What a generation keeps in order to be taken back: always enough, never more than three states, all of them given back.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Heap } from "../../src/engine/heap.ts";
import type { Slots } from "../../src/engine/slots.ts";
import { Trail } from "../../src/engine/trail.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";

/** Slots that only count their references; slot number n is the state behind n tokens. */
class Counted {
  readonly references = new Map<number, number>();
  retain(slot: number): number {
    this.references.set(slot, (this.references.get(slot) ?? 0) + 1);
    return slot;
  }
  release(slot: number): void {
    const left = this.references.get(slot)! - 1;
    assert.ok(left >= 0);
    if (left > 0) this.references.set(slot, left);
    else this.references.delete(slot);
  }
}

const step = fc.record({
  tokens: fc.integer({ min: 1, max: 5 }),
  read: fc.nat(6),
  sure: fc.nat(6),
  shed: fc.boolean(),
});

test("it can be taken back to any token that was not read, from a state and the tokens behind it", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const slots = new Counted();
      const trail = new Trail(slots as unknown as Slots, true);
      const token = (n: number) => n * 7;
      trail.mark(0, 0);
      let fed = 0;
      let read = 0;
      let sure = 0;
      for (const one of steps) {
        // A token is said, then fed, so the session stands one behind.
        while (trail.said <= fed + one.tokens) trail.say(token(trail.said));
        fed += one.tokens;
        trail.mark(fed, fed);
        read = Math.min(trail.said, read + one.read);
        sure = Math.min(trail.said, Math.max(read, sure) + one.sure);
        trail.pace(read, sure);
        if (one.shed) trail.shed();
        assert.ok(slots.references.size <= 3);
        for (const keep of [read, sure, trail.said, Math.floor((read + trail.said) / 2)]) {
          const { slot, tokens } = trail.back(keep);
          assert.ok(slot <= keep);
          assert.equal(
            tokens,
            Array.from({ length: keep - slot }, (_, i) => token(slot + i)),
          );
        }
      }
      trail.drop();
      assert.is(slots.references.size, 0);
    }),
    { numRuns: runs(300) },
  );
});

test("who will not be taken back keeps nothing but where it stands", () => {
  const slots = new Counted();
  const trail = new Trail(slots as unknown as Slots, false);
  for (let n = 0; n < 5000; n++) {
    trail.mark(n, n);
    trail.say(n);
    assert.equal([...slots.references.keys()], [n]);
  }
  assert.is(trail.said, 5000);
});

test("the heap gives blocks that do not overlap, takes them back, and says when memory is at its end", async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
  const heap = new Heap(memory, 1000, 4 * 65536);
  const blocks = new Map<number, number>();
  const take = (bytes: number) => {
    const at = heap.take(bytes);
    assert.is(at % 128, 0);
    assert.ok(at >= 1000 && at + bytes <= memory.buffer.byteLength);
    for (const [other, size] of blocks) assert.ok(at + bytes <= other || other + size <= at);
    blocks.set(at, bytes);
    return at;
  };
  const first = take(30_000);
  take(500);
  const second = take(30_000);
  take(90_000);
  for (const at of [first, second]) {
    heap.give(at, 30_000);
    blocks.delete(at);
  }
  assert.equal(new Set([take(29_999), take(30_000)]), new Set([first, second]));
  await refused(
    (async () => {
      heap.take(200_000);
    })(),
    "memory",
    /no room for 0\.2 MiB/,
  );
  take(70_000);
});

test.run();
