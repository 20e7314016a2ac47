// A text without end: thousands of tokens through one session, in memory that does not grow, with a state that stays finite.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ids, open, parse } from "../engine/setup.ts";

const TOKENS = 20_000;

test("memory is what it was at the beginning, and the state is a state", async () => {
  for (const threads of [0, 2]) {
    const memories: WebAssembly.Memory[] = [];
    const { Memory } = WebAssembly;
    WebAssembly.Memory = class extends Memory {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        super(descriptor);
        memories.push(this);
      }
    };
    const model = await open({ threads }).finally(() => {
      WebAssembly.Memory = Memory;
    });
    const session = model.session();
    const go = async (count: number) => {
      await session.feed(ids(count / 2, session.position));
      await session.generate([], { maxTokens: count / 2, stopTokens: [], seed: 1 }).result;
    };
    await go(1000);
    const before = memories.map(({ buffer }) => buffer.byteLength);
    assert.is(before.length, 1);
    await go(TOKENS - 1000);
    // A prompt's tokens and those that were written, the last of which the session takes in as well.
    assert.is(session.position, TOKENS);
    assert.equal(
      memories.map(({ buffer }) => buffer.byteLength),
      before,
    );
    const { numbers } = parse(await session.save());
    assert.ok(numbers.length > 0 && numbers.every(Number.isFinite));
    await model.close();
  }
});

test.run();
