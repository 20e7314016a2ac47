// Matrix products, as the engine runs them: a program of one record. For every kind of weights, for one token and for many,
// with matrices that stay in the caches and one that comes from memory. Beside each figure stands what the machine can do at
// most, measured in the same process: reading the weights, or the bare arithmetic, whichever takes longer.
import {
  BATCH_ROWS,
  F_ARGS,
  F_FENCE,
  F_OP,
  F_ROWS,
  H_BATCH,
  H_SCRATCH,
  H_SCRATCH_STRIDE,
  H_TEAM,
  OP_MATMUL,
  PIECE,
  RECORD_BYTES,
  RUN_DONE,
  SCRATCH_BYTES,
} from "../assembly/ops.ts";
import { type Build, instantiate, type Kernels } from "../src/engine/kernels.ts";
import { Arena, align, createMemory } from "../src/engine/memory.ts";
import { TARGET_TYPES, WEIGHT_TYPES, type WeightType } from "../src/engine/weight-types.ts";
import { compiled, usableBuilds } from "./lib/built.ts";
import { Limits, limitsModule } from "./lib/limits.ts";
import { measure } from "./lib/measure.ts";
import { fill } from "./lib/numbers.ts";
import { list, numbers, options, refuse } from "./lib/options.ts";
import { Report } from "./lib/report.ts";
import { Team } from "./lib/team.ts";

const usable = await usableBuilds();
const chosen = options(
  {
    types: "f32,f16,bf16,q8_0,q7_0,q4_0",
    tokens: "1,2,8,64",
    sizes: "256,1024,2048,memory",
    builds: usable.join(),
    threads: "1,2",
    json: undefined as string | undefined,
  },
  { types: TARGET_TYPES, builds: usable },
);
if (list(chosen.sizes).some((size) => !/^(memory|[1-9]\d{1,4})$/.test(size)))
  refuse("--sizes takes numbers up to 99999, and memory");
const TOKENS = numbers(chosen.tokens);
const MOST_TOKENS = Math.max(...TOKENS);

/** The matrix that no cache holds: about so many bytes, with so many inputs. */
const FAR_BYTES = 2 ** 28;
const FAR_INPUTS = 4096;
const MOST_INPUTS = Math.max(FAR_INPUTS, ...list(chosen.sizes).map((size) => Number(size) || 0));
/** All of a setting. What is not touched costs nothing. */
const MEMORY = 1 << 29;

/** A build with a number of threads, and its memory. */
interface Setting {
  kernels: Kernels;
  memory: WebAssembly.Memory;
  arena: Arena;
  team: Team;
  limits: Limits;
}

async function open(build: Build, ranks: number): Promise<Setting> {
  const module = compiled(build);
  const shared = build.endsWith("threads");
  const memory = createMemory(MEMORY, MEMORY, shared);
  const kernels = instantiate(module, memory);
  const arena = new Arena(1 << 16);
  const team = new Team(kernels, module, memory, arena, ranks);
  const limits = new Limits(await limitsModule(build), memory, arena, ranks);
  return { kernels, memory, arena, team, limits };
}

/** A packed matrix of about this size at `address`; its rows repeat every 32. */
function matrix({ kernels, memory, arena }: Setting, type: WeightType, size: string, address: number) {
  const inputs = size === "memory" ? FAR_INPUTS : Number(size);
  const piece = kernels.piece_bytes(WEIGHT_TYPES[type], inputs);
  const pieces = size === "memory" ? Math.round(FAR_BYTES / piece) : Math.ceil(inputs / PIECE);
  const count = PIECE * inputs;
  const room = new Arena(arena.end);
  const [floats, stored, scratch] = [0, 0, 0].map(() => room.alloc(count * 4));
  fill(memory, floats, count, 0.1);
  kernels.convert(stored, WEIGHT_TYPES[type], floats, WEIGHT_TYPES.f32, PIECE, inputs, scratch);
  kernels.pack(address, stored, WEIGHT_TYPES[type], PIECE, inputs, scratch);
  const bytes = new Uint8Array(memory.buffer);
  for (let i = 1; i < pieces; i++) bytes.copyWithin(address + i * piece, address, address + piece);
  return { inputs, outputs: pieces * PIECE, bytes: pieces * piece };
}

const report = new Report("Matrix products", chosen.json);

for (const build of list(chosen.builds) as Build[]) {
  for (const ranks of numbers(chosen.threads)) {
    if (ranks > 1 && !build.endsWith("threads")) continue;
    const setting = await open(build, ranks);
    const { kernels, memory, arena, team, limits } = setting;
    const row = report.table(`Build ${build}, ${ranks === 1 ? "1 thread" : `${ranks} threads`}`, [
      "weights",
      "tokens",
      "matrix",
      "GMAC/s",
      "median",
      "GB/s",
      "limit GMAC/s",
      "limited by",
      "share %",
    ]);

    const program = arena.alloc(3 * RECORD_BYTES);
    const batch = arena.alloc(64);
    const scratchStride = align(SCRATCH_BYTES + MOST_TOKENS * PIECE * 4);
    const scratch = arena.alloc(scratchStride * ranks);
    const input = arena.alloc(MOST_TOKENS * MOST_INPUTS * 4);
    const quantized = arena.alloc(kernels.quantized_bytes(MOST_INPUTS, MOST_TOKENS));
    const weights = arena.alloc(FAR_BYTES + (FAR_BYTES >> 6));
    fill(memory, input, MOST_TOKENS * MOST_INPUTS);

    for (const type of list(chosen.types) as WeightType[]) {
      for (const size of list(chosen.sizes)) {
        const { inputs, outputs, bytes } = matrix(setting, type, size, weights);
        const read = await limits.read(weights, bytes);
        for (const n of TOKENS) {
          const integer = !["f32", "f16", "bf16"].includes(type);
          if (integer) kernels.quantize_q8(quantized, input, inputs * 4, 0, Math.ceil(inputs / 32), n);
          const words = new Uint32Array(memory.buffer, program, (3 * RECORD_BYTES) / 4).fill(0);
          words[H_TEAM / 4] = team.address;
          words[H_BATCH / 4] = batch;
          words[H_SCRATCH / 4] = scratch;
          words[H_SCRATCH_STRIDE / 4] = scratchStride;
          const record = words.subarray(RECORD_BYTES / 4);
          record[F_OP / 4] = OP_MATMUL;
          record[F_FENCE / 4] = 1;
          record[F_ROWS / 4] = batch + BATCH_ROWS;
          const source = integer ? quantized : input;
          record.set(
            [arena.end, outputs * 4, weights, WEIGHT_TYPES[type], source, inputs * 4, outputs, inputs, 0],
            F_ARGS / 4,
          );
          new Uint32Array(memory.buffer, batch, 1)[BATCH_ROWS / 4] = n;
          if (kernels.lead(program, ranks) !== RUN_DONE) throw new Error("a thread died");

          const { best, median } = await measure(() => void kernels.lead(program, ranks));
          const work = (outputs * inputs * n) / 1e9;
          // What must be done at least: read every weight once, and multiply.
          const reading = bytes / 1e9 / read;
          const computing = work / (await limits.arithmetic(type, n, kernels.features()));
          const least = Math.max(reading, computing);
          row(
            type,
            n,
            `${outputs} x ${inputs}`,
            work / best,
            work / median,
            bytes / 1e9 / best,
            work / least,
            reading > computing ? "reading" : "arithmetic",
            Math.round((100 * least) / best),
          );
        }
      }
    }
    await team.end();
    await limits.end();
  }
}
report.end();
