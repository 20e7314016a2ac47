// Vectors on their way into memory: what becomes of their numbers, and one number for many channels.
import { test } from "uvu";
import * as ops from "../../assembly/ops.ts";
import { everywhere, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";

const negative = (x: Float32Array) => x.map((v) => -v);

const FORMS: Record<string, [form: number, of: (x: Float32Array) => Float32Array]> = {
  x: [ops.FORM_X, (x) => x],
  "exp(x)": [ops.FORM_EXP, (x) => apply("exp4", x)],
  "-exp(x)": [ops.FORM_MINUS_EXP, (x) => negative(apply("exp4", x))],
  "exp(-exp(x))": [ops.FORM_EXP_MINUS_EXP, (x) => apply("exp4", negative(apply("exp4", x)))],
  "1 - x": [ops.FORM_ONE_MINUS, (x) => x.map((v) => 1 - v)],
};

for (const [name, [form, of]] of Object.entries(FORMS)) {
  everywhere(`${name}: any count, each number any times`, ({ kernels, arena }) => {
    for (const count of [1, 3, 4, 33]) {
      for (const times of [1, 2, 8]) {
        arena.reset();
        const x = new Random(count).bells(count, 4);
        const dst = arena.output(count * times * 4);
        kernels.spread(dst.at, arena.input(x).at, count, times, form);
        const each = of(x);
        same(
          dst.f32,
          Float32Array.from({ length: count * times }, (_, i) => each[Math.floor(i / times)]),
          `${count} x ${times}`,
        );
      }
    }
  });
}

test.run();
