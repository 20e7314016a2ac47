/** The kernels' own exp, log, sigmoid and tanh, for references: math.test.ts checks them against float64. */
import { builds, setting } from "./harness.ts";

type Name = "exp4" | "log4" | "sigmoid4" | "tanh4";

/** Memory of its own, whatever the setting under test: no setting has this base. */
const BASE = 2 * 65536;

/** The function at each of the numbers. */
export function apply(name: Name, values: ArrayLike<number>): Float32Array {
  const { unguarded, arena } = setting(builds[0], BASE);
  const padded = new Float32Array((values.length + 3) & ~3);
  padded.set(Float32Array.from(values));
  const src = arena.copy(padded);
  const dst = arena.output(padded.byteLength);
  unguarded[name](dst.at, src.at, padded.length);
  return dst.f32.slice(0, values.length);
}
