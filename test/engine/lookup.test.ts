// Guesses from the text itself, against a search through all of it.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Lookup } from "../../src/engine/lookup.ts";
import { runs } from "../runs.ts";

/** Where the last `length` tokens came before they came now: behind them, latest first; -1 if they are new. */
function search(text: readonly number[], length: number): number {
  const last = text.slice(-length).join();
  if (text.length < length) return -1;
  for (let end = text.length - 1; end >= length; end--) if (text.slice(end - length, end).join() === last) return end;
  return -1;
}

test("guesses go on as the text did when the last tokens came last, and repeat what repeats itself", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(3), { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(16),
      (text, length, most) => {
        const lookup = new Lookup(length);
        for (const token of text) lookup.push(token);
        const guess = lookup.guess(most);
        const found = search(text, length);
        assert.ok(guess.length <= most);
        if (found < 0) assert.equal(guess, []);
        const longer = [...text];
        for (const token of guess) {
          assert.is(token, longer[found + longer.length - text.length]);
          longer.push(token);
        }
      },
    ),
    { numRuns: runs(2000) },
  );
});

test("many are guessed where guesses were right, and none where they were wrong", () => {
  const [steady, wild] = [new Lookup(1), new Lookup(1)];
  for (let i = 0; i < 200; i++) {
    steady.push(i % 5);
    // Every token comes again and again, and never is followed by the same one.
    wild.push(i % 2 ? i : 7);
  }
  assert.is(steady.guess(16).length, 16);
  assert.equal(steady.guess(7), [0, 1, 2, 3, 4, 0, 1]);
  assert.equal(wild.guess(16), []);
  assert.equal(steady.guess(0), []);
});

test("what is long gone is forgotten", () => {
  const lookup = new Lookup(2);
  lookup.push(-1);
  lookup.push(-2);
  for (let i = 0; i < 300_000; i++) lookup.push(i % 1000);
  lookup.push(-1);
  lookup.push(-2);
  assert.equal(lookup.guess(4), []);
  for (let i = 0; i < 30; i++) lookup.push(i);
  assert.equal(lookup.guess(2), [30, 31]);
});

test.run();
