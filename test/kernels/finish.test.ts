// Sums of a piece on their way out: stored, added, squared where positive, through tanh, sigmoid or SiLU, with a bias or a gate.
import { test } from "uvu";
import {
  FINISH_ADD,
  FINISH_RELU2,
  FINISH_SIGMOID,
  FINISH_SILU,
  FINISH_STORE,
  FINISH_TANH,
} from "../../assembly/ops.ts";
import { everywhere, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";

const HOW: Record<string, [how: number, finish: (sums: Float32Array, old: Float32Array) => Float32Array]> = {
  store: [FINISH_STORE, (sums) => sums],
  add: [FINISH_ADD, (sums, old) => sums.map((sum, i) => old[i] + sum)],
  relu2: [FINISH_RELU2, (sums) => sums.map((sum) => (sum < 0 ? 0 : sum * sum))],
  tanh: [FINISH_TANH, (sums) => apply("tanh4", sums)],
  sigmoid: [FINISH_SIGMOID, (sums) => apply("sigmoid4", sums)],
  silu: [FINISH_SILU, (sums) => apply("sigmoid4", sums).map((x, i) => x * sums[i])],
};

for (const [name, [how, reference]] of Object.entries(HOW)) {
  everywhere(`${name}: any count of channels, the others untouched`, ({ kernels, arena }) => {
    const random = new Random(how);
    for (const n of [1, 2, 5]) {
      for (let count = 1; count <= 32; count++) {
        arena.reset();
        const sums = random.spiky(n * 32, 1e3);
        sums.set([0, -0, 3e38, Number.NaN].slice(0, count), 0);
        const stride = n === 2 ? 40 : 32;
        // The last row ends with its last channel, so the guard zone follows at once.
        const old = random.bells((n - 1) * stride + count);
        const dst = arena.copy(old);
        kernels.finish(dst.at, stride * 4, arena.copy(sums).at, count, n, how);
        const expected = old.slice();
        for (let t = 0; t < n; t++) {
          const row = reference(sums.subarray(t * 32, t * 32 + count), old.subarray(t * stride, t * stride + count));
          expected.set(row, t * stride);
        }
        same(dst.f32, expected, `${count} channels x ${n} tokens`);
      }
    }
  });
}

everywhere("bias: added to every row", ({ kernels, arena }) => {
  const random = new Random(10);
  for (const n of [1, 3]) {
    for (const count of [1, 4, 7, 32]) {
      arena.reset();
      const sums = random.bells(n * 32);
      const bias = random.bells(32);
      const old = random.bells((n - 1) * 40 + count);
      const dst = arena.copy(old);
      kernels.finish_bias(dst.at, 160, arena.copy(sums).at, count, n, arena.input(bias).at);
      const expected = old.map((before, i) =>
        i % 40 < count ? sums[Math.floor(i / 40) * 32 + (i % 40)] + bias[i % 40] : before,
      );
      same(dst.f32, expected, `${count} channels x ${n} tokens`);
    }
  }
});

everywhere("gated: dst = (dst + gate * sums) * factor", ({ kernels, arena }) => {
  const f = Math.fround;
  const random = new Random(11);
  for (const n of [1, 3]) {
    for (const count of [1, 4, 7, 32]) {
      for (const factor of [1, 0.5]) {
        arena.reset();
        const sums = random.bells(n * 32);
        const gate = random.bells(n * 40);
        const old = random.bells((n - 1) * 40 + count);
        const dst = arena.copy(old);
        kernels.finish_gated(dst.at, 160, arena.copy(sums).at, count, n, arena.input(gate).at, factor);
        const expected = old.map((before, i) => {
          if (i % 40 >= count) return before;
          return f(before + f(gate[i] * sums[Math.floor(i / 40) * 32 + (i % 40)])) * factor;
        });
        same(dst.f32, expected, `${count} channels x ${n} tokens, factor ${factor}`);
      }
    }
  }
});

test.run();
