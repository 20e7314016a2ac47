// Sums of a piece on their way out: stored, added, squared where positive, or through tanh or a sigmoid.
import { test } from "uvu";
import { FINISH_ADD, FINISH_RELU2, FINISH_SIGMOID, FINISH_STORE, FINISH_TANH } from "../../assembly/ops.ts";
import { everywhere, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";

const HOW: Record<string, [how: number, finish: (sums: Float32Array, old: Float32Array) => Float32Array]> = {
  store: [FINISH_STORE, (sums) => sums],
  add: [FINISH_ADD, (sums, old) => sums.map((sum, i) => old[i] + sum)],
  relu2: [FINISH_RELU2, (sums) => sums.map((sum) => (sum < 0 ? 0 : sum * sum))],
  tanh: [FINISH_TANH, (sums) => apply("tanh4", sums)],
  sigmoid: [FINISH_SIGMOID, (sums) => apply("sigmoid4", sums)],
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

test.run();
