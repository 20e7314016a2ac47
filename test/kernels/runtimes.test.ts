// The kernels with integer arithmetic once more in the other runtimes: engines turn the relaxed dot product into different
// instructions, and the Node that runs the tests may not have relaxed SIMD at all.
import { test } from "uvu";
import { rerun } from "../runtimes/rerun.ts";
import { withoutDotProduct } from "../runtimes/runtimes.ts";

const FILES = ["kernels/tiles", "kernels/quantize", "kernels/program"];
await rerun(FILES, /^kernels: .*\brelaxed\b.*relaxed-threads$/m);
// What CPUs without an instruction that is exact for 8-bit codes run.
await rerun(FILES, /^8-bit codes in 8-bit arithmetic: no$/m, withoutDotProduct());

test.run();
