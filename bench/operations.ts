// Everything beside the matrix products, one thread: what time mixing does per head and token, norms with their token shift,
// quantising activations, and the functions of assembly/math.ts.
import { BATCH_TABLE, ROW_BYTES, ROW_FROM, ROW_TO } from "../assembly/ops.ts";
import { type Build, instantiate, type Kernels } from "../src/engine/kernels.ts";
import { Arena, createMemory } from "../src/engine/memory.ts";
import { compiled, usableBuilds } from "./lib/built.ts";
import { measure } from "./lib/measure.ts";
import { fill } from "./lib/numbers.ts";
import { list, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const usable = await usableBuilds();
const chosen = options(
  {
    builds: usable.join(),
    json: undefined as string | undefined,
  },
  { builds: usable },
);

const MEMORY = 1 << 26;
const HEAD = 64;
const CHANNELS = 1024;
const TOKENS = [1, 64];
const NUMBERS = 4096;
/** What an RWKV-7 layer needs: six mixes of the normed input; seven activations and eight vectors of parameters. */
const MIXES = 6;
const ACTS = 7;
const PARAMS = 8;

const report = new Report("Other operations", chosen.json);

for (const build of list(chosen.builds) as Build[]) {
  const memory = createMemory(MEMORY, MEMORY, build.endsWith("threads"));
  const kernels = instantiate(compiled(build), memory);
  const row = report.table(`Build ${build}, 1 thread`, ["operation", "tokens", "time", "median", "unit"]);

  /** Measures `run`, which does something `count` times. */
  const time = async (name: string, tokens: number | string, count: number, unit: "ns" | "µs", run: () => void) => {
    const scale = unit === "ns" ? 1e9 : 1e6;
    const { best, median } = await measure(run, 0.3);
    row(name, tokens, (best * scale) / count, (median * scale) / count, unit);
  };

  for (const n of TOKENS) {
    const arena = new Arena(1 << 16);
    const numbers = (count: number, scale = 1) => {
      const at = arena.alloc(count * 4);
      fill(memory, at, count, scale);
      return at;
    };
    const slotFloats = CHANNELS * (HEAD + 1);
    const [from, to] = [numbers(slotFloats, 0.1), numbers(slotFloats)];
    const table = tableOf(memory, arena, n, from, to);

    const acts = numbers(ACTS * n * CHANNELS);
    const params = numbers(PARAMS * CHANNELS);
    const first = numbers(n * CHANNELS);
    const out = numbers(MIXES * n * CHANNELS);
    const scratch = arena.alloc(14 * HEAD * 4);
    const S = CHANNELS * 4; // after the shift vector
    const row4 = n * CHANNELS * 4;
    const heads = CHANNELS / HEAD;
    await time(`wkv7, per head of ${HEAD} and token`, n, heads * n, "µs", () =>
      kernels.wkv7(table, n, acts, row4, params, CHANNELS, HEAD, 64e-5, S, first, 0, out, 0, heads, scratch),
    );

    const x = numbers(n * CHANNELS);
    const [weight, bias, mu] = [numbers(CHANNELS), numbers(CHANNELS), numbers(MIXES * CHANNELS)];
    const quantized = kernels.quantized_bytes(CHANNELS, n);
    const q8 = arena.alloc(MIXES * quantized);
    const blocks = CHANNELS / 32;
    const mix = (mixes: number, mask: number) => () =>
      kernels.norm_mix(
        table,
        n,
        x,
        CHANNELS,
        weight,
        bias,
        1e-5,
        0,
        mu,
        mixes,
        out,
        row4,
        q8,
        quantized,
        mask,
        0,
        blocks,
      );
    await time(`norm_mix, ${MIXES} mixes of ${CHANNELS} channels, per token`, n, n, "µs", mix(MIXES, 0));
    await time("  the same, 3 of them quantised", n, n, "µs", mix(MIXES, 0b1101));
    await time(`quantize_q8, ${CHANNELS} channels, per token`, n, n, "µs", () =>
      kernels.quantize_q8(q8, x, CHANNELS * 4, 0, blocks, n),
    );
  }
  await functions(kernels, memory, time);
}
report.end();

type Timer = (name: string, tokens: string, count: number, unit: "ns" | "µs", run: () => void) => Promise<void>;

/** The table of a batch in which one session has n rows. */
function tableOf(memory: WebAssembly.Memory, arena: Arena, n: number, from: number, to: number): number {
  const table = arena.alloc(BATCH_TABLE + n * ROW_BYTES) + BATCH_TABLE;
  for (let t = 0; t < n; t++) {
    const row = new Uint32Array(memory.buffer, table + t * ROW_BYTES, ROW_BYTES / 4);
    row[ROW_FROM / 4] = from;
    row[ROW_TO / 4] = to;
  }
  return table;
}

async function functions(kernels: Kernels, memory: WebAssembly.Memory, time: Timer): Promise<void> {
  const arena = new Arena(1 << 16);
  const [to, from] = [arena.alloc(NUMBERS * 4), arena.alloc(NUMBERS * 4)];
  fill(memory, from, NUMBERS, 8);
  for (const name of ["exp4", "sigmoid4", "tanh4", "softplus4"] as const) {
    await time(`${name.slice(0, -1)}, per number`, "", NUMBERS, "ns", () => kernels[name](to, from, NUMBERS));
  }
}
