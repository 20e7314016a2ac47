// f32 that are bf16 in truth: halved if all of them are, left alone otherwise.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { everywhere } from "./harness.ts";
import { Random } from "./random.ts";

everywhere(
  "numbers whose last 16 bits are zeros, any count of pieces; one bit too many, and nothing happens",
  (setting) => {
    const { arena, kernels } = setting;
    const random = new Random(1);
    for (const count of [32, 64, 96, 32 * 7, 32 * 100]) {
      const upper = Uint16Array.from({ length: count }, () => random.u32() & 0xffff);
      const words = Uint32Array.from(upper, (bits) => bits * 65536);
      arena.reset();
      const halved = arena.copy(words);
      assert.is(kernels.halve(halved.at, count), 1);
      assert.equal(new Uint16Array(halved.u8.buffer, halved.at, count), upper);
      for (const [place, bit] of [
        [0, 0],
        [count - 1, 15],
        [random.below(count), random.below(16)],
      ]) {
        const spoilt = words.slice();
        spoilt[place] += 2 ** bit;
        arena.reset();
        const left = arena.copy(spoilt);
        assert.is(kernels.halve(left.at, count), 0);
        assert.equal(new Uint32Array(left.u8.buffer, left.at, count), spoilt);
      }
    }
  },
);

test.run();
