// The kernels with integer arithmetic once more in the other runtimes: engines turn the relaxed dot product into different
// instructions, and the Node that runs the tests may not have relaxed SIMD at all.
import { test } from "uvu";
import { rerun } from "../runtimes/rerun.ts";

await rerun(["kernels/tiles", "kernels/quantize", "kernels/program"], /^kernels: .*\brelaxed\b.*relaxed-threads$/m);

test.run();
