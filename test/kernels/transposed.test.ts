// Matrices that files hold as (inputs, outputs): packed by inputs, in pieces of any length, they are what packing by outputs gives.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_BF16, T_F16, T_F32 } from "../../assembly/ops.ts";
import { everywhere } from "./harness.ts";
import { Random } from "./random.ts";

for (const type of [T_F32, T_F16, T_BF16]) {
  everywhere(`type ${type}: any count of outputs and inputs`, ({ kernels, arena }) => {
    const random = new Random(type);
    const make = (count: number) => {
      const bits = Array.from({ length: count }, () => random.u32());
      return type === T_F32 ? Uint32Array.from(bits) : Uint16Array.from(bits);
    };
    for (const outputs of [1, 5, 32, 33, 96, 100]) {
      for (const inputs of [1, 2, 7, 32, 65]) {
        arena.reset();
        const file = make(outputs * inputs);
        const turned = file.map((_, i) => file[(i % inputs) * outputs + Math.floor(i / inputs)]);
        const width = file.BYTES_PER_ELEMENT;
        const piece = kernels.piece_bytes(type, inputs);
        const pieces = Math.ceil(outputs / 32);
        const [expected, found] = [arena.output(piece * pieces), arena.output(piece * pieces)];
        const scratch = arena.output(4096);
        const src = arena.input(turned).at;
        for (let p = 0; p < pieces; p++) {
          const rows = Math.min(32, outputs - p * 32);
          kernels.pack(expected.at + p * piece, src + p * 32 * inputs * width, type, rows, inputs, scratch.at);
        }
        const from = arena.input(file).at;
        const step = 1 + random.below(inputs);
        for (let k = 0; k < inputs; k += step) {
          const count = Math.min(step, inputs - k);
          kernels.pack_transposed(found.at, from + k * outputs * width, type, outputs, inputs, k, count);
        }
        assert.is(Buffer.compare(found.u8, expected.u8), 0, `${outputs} x ${inputs}, ${step} at a time`);
      }
    }
  });
}

test.run();
