/** The machine's limits, measured in this process with the loops of bench/assembly/limits.ts. */
import { readFileSync } from "node:fs";
import { newest } from "../../scripts/newest.mjs";
import { node } from "../../scripts/program.ts";
import type { Build } from "../../src/engine/kernels.ts";
import type { Arena } from "../../src/engine/memory.ts";
import { tileNibbles, type WeightType } from "../../src/engine/weight-types.ts";
import {
  DOT_4,
  DOT_8,
  DOT_8_MACS,
  DOT_16,
  DOT_16_MACS,
  J_ADDRESS,
  J_BYTES,
  J_FACTOR,
  J_KIND,
  J_RESULTS,
  J_ROUNDS,
  J_TEAM,
  MULTIPLY_ADD,
  MULTIPLY_ADD_MACS,
  ONE_4,
  ONE_8,
  ONE_16,
  ONE_BF16,
  ONE_F16,
  ONE_F32,
  READ,
  STEP,
} from "../assembly/jobs.ts";
import { measure } from "./measure.ts";
import { Team } from "./team.ts";

/** Bytes of weights that the loops for one token go through: they stay in the nearest cache. */
const NEAR = 4096;
/** Bytes read, or multiply-adds done, in one call: so many that calling does not count. */
const ENOUGH = 1 << 23;

/** Compiles the loops as a build of the kernels has them, if they changed since the last time. */
export async function limitsModule(build: Build): Promise<WebAssembly.Module> {
  const file = `build/bench/limits-${build}.wasm`;
  if (newest([file]) < newest(["assembly", "bench/assembly", "bench/asconfig.json"])) {
    const asc = ["bench/assembly/limits.ts", "--config", "bench/asconfig.json", "--target", build];
    const { code, output } = await node("node_modules/assemblyscript/bin/asc.js", asc);
    if (code !== 0) throw new Error(`asc ${asc.join(" ")} failed:\n${output}`);
  }
  return new WebAssembly.Module(readFileSync(file));
}

/** Which loops belong to a type of weights: with one token, with several; multiply-adds of a round of the latter; bytes of a weight. */
interface Loops {
  one: number;
  several: number;
  macs: number;
  bytes: number;
}

const FLOATS: Readonly<Record<string, Loops>> = {
  f32: { one: ONE_F32, several: MULTIPLY_ADD, macs: MULTIPLY_ADD_MACS, bytes: 4 },
  f16: { one: ONE_F16, several: MULTIPLY_ADD, macs: MULTIPLY_ADD_MACS, bytes: 2 },
  bf16: { one: ONE_BF16, several: MULTIPLY_ADD, macs: MULTIPLY_ADD_MACS, bytes: 2 },
};
/** Types whose codes have a full 8 bits. */
const FULL: readonly WeightType[] = ["q8_0", "iq4_nl", "iq4_xs"];

/** `features`: of the build, as the kernels tell. */
function loopsOf(type: WeightType, features: number): Loops {
  if (FLOATS[type]) return FLOATS[type];
  const relaxed = (features & 2) !== 0;
  const exact = (features & 4) !== 0;
  if (relaxed && tileNibbles(type)) return { one: ONE_4, several: DOT_4, macs: DOT_8_MACS, bytes: 0.5 };
  if (relaxed && (exact || !FULL.includes(type))) return { one: ONE_8, several: DOT_8, macs: DOT_8_MACS, bytes: 1 };
  return { one: ONE_16, several: DOT_16, macs: DOT_16_MACS, bytes: 1 };
}

interface Exports {
  lead(job: number, ranks: number): void;
  poison(team: number): void;
}

export class Limits {
  readonly #exports: Exports;
  readonly #memory: WebAssembly.Memory;
  readonly #team: Team;
  readonly #job: number;
  readonly #near: number;
  readonly #found = new Map<string, number>();

  /** Over a memory that benchmarks use too. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, arena: Arena, ranks: number) {
    this.#exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
    this.#memory = memory;
    this.#team = new Team(this.#exports, module, memory, arena, ranks);
    this.#job = arena.alloc(J_RESULTS + 64 * ranks);
    this.#near = arena.alloc(NEAR);
    new Float32Array(memory.buffer, this.#job + J_FACTOR, 4).fill(0.5);
    // Ones, in f16 as in bf16 something ordinary.
    new Uint16Array(memory.buffer, this.#near, NEAR / 2).fill(0x3c00);
  }

  /** GB/s of reading these bytes again and again. */
  read(address: number, bytes: number): Promise<number> {
    const whole = Math.floor(bytes / STEP) * STEP;
    const rounds = Math.ceil(ENOUGH / whole);
    const { ranks } = this.#team;
    const done = Math.floor(whole / ranks / STEP) * STEP * ranks * rounds;
    return this.#rate(`read ${address} ${bytes}`, READ, address, whole, rounds, done);
  }

  /** GMAC/s of a kernel's innermost arithmetic with so many tokens, all ranks together. `features`: of the kernels. */
  arithmetic(type: WeightType, tokens: number, features: number): Promise<number> {
    const { ranks } = this.#team;
    const { one, several, macs, bytes } = loopsOf(type, features);
    if (tokens > 1) {
      const rounds = Math.ceil(ENOUGH / macs);
      return this.#rate(`registers ${several}`, several, 0, 0, rounds, macs * rounds * ranks);
    }
    const weights = NEAR / bytes;
    const rounds = Math.ceil(ENOUGH / weights);
    return this.#rate(`one ${one}`, one, this.#near, NEAR, rounds, weights * rounds * ranks);
  }

  end(): Promise<void> {
    return this.#team.end();
  }

  /** 10^9 per second of what a job does `amount` of; measured once. */
  async #rate(key: string, kind: number, address: number, bytes: number, rounds: number, amount: number) {
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const job = new Uint32Array(this.#memory.buffer, this.#job, 8);
    job[J_TEAM / 4] = this.#team.address;
    job[J_KIND / 4] = kind;
    job[J_ADDRESS / 4] = address;
    job[J_BYTES / 4] = bytes;
    job[J_ROUNDS / 4] = rounds;
    const { best } = await measure(() => this.#exports.lead(this.#job, this.#team.ranks), 0.3);
    const rate = amount / best / 1e9;
    this.#found.set(key, rate);
    return rate;
  }
}
