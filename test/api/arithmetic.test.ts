// Sums of states.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ids, open, parse } from "../engine/setup.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";

const model = await open();
test.after(() => model.close());

async function stateOf(tokens: readonly number[]): Promise<Uint8Array<ArrayBuffer>> {
  const session = model.session();
  await session.feed(tokens);
  const bytes = await session.save();
  await session.close();
  return bytes;
}

const [a, b, c] = [await stateOf(ids(9)), await stateOf(ids(20, 3)), await stateOf(ids(5, 8))];

test("each number is the weighted sum, in float64; the position is the first one's", async () => {
  const weight = fc.double({ min: -3, max: 3, noNaN: true });
  await fc.assert(
    fc.asyncProperty(weight, weight, weight, async (x, y, z) => {
      const sum = parse(
        await model.combineStates([
          [a, x],
          [b, y],
          [c, z],
        ]),
      );
      assert.is(sum.header.position, 9);
      const [one, two, three] = [a, b, c].map((state) => parse(state).numbers);
      assert.equal(
        sum.numbers,
        one.map((_, i) => one[i] * x + two[i] * y + three[i] * z),
      );
    }),
    { numRuns: runs(20) },
  );
});

test("a state times 1 is that state, and what comes of sums can be gone on with", async () => {
  assert.equal(await model.combineStates([[a, 1]]), a);
  assert.equal(
    await model.combineStates([
      [a, 1],
      [b, 0],
    ]),
    a,
  );
  const middle = await model.combineStates([
    [a, 0.5],
    [b, 0.5],
  ]);
  const session = model.session(middle);
  assert.is(session.position, 9);
  const { tokens } = await session.generate([], { maxTokens: 20, stopTokens: [], temperature: 0 }).result;
  assert.is(tokens, 20);
  await session.close();
});

test("what cannot be summed up", async () => {
  const other = await open({ threads: 0 }, "weights/stories-7m.q8_0.gguf");
  const four = await open({ threads: 0, vocabulary: "bytes" }, "test/fixtures/v4.bf16.pth");
  const combine = async (states: unknown, from = model) => from.combineStates(states as never);
  await refused(combine([]), "input", /1 to 64 pairs/);
  await refused(combine(Array.from({ length: 65 }, () => [a, 1])), "input", /1 to 64 pairs/);
  await refused(combine([a, b]), "input", /State 0 to combine must be a pair/);
  await refused(
    combine([
      [a, 1],
      [b, Number.NaN],
    ]),
    "input",
    /State 1 .* finite weight/,
  );
  await refused(combine([[a, "1"]]), "input", /State 0/);
  await refused(
    combine([
      [a, 1],
      [a.slice(0, -4), 1],
    ]),
    "state",
    /State 1 to combine: This is not a usable session state/,
  );
  await refused(
    combine([
      [a, 1],
      [await other.session().save(), 1],
    ]),
    "state",
    /State 1 .* another model: .*stories/,
  );
  await refused(
    combine([
      [a, 1e38],
      [b, 1e38],
      [c, 1e39],
    ]),
    "input",
    /no f32 holds/,
  );
  await refused(combine([[await four.session().save(), 1]], four), "unsupported", /RWKV-4/);
  await other.close();
  await four.close();
});

test.run();
