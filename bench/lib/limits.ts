/** The machine's limits, measured in this process with the loops of bench/assembly/limits.ts. */
import { readFileSync } from "node:fs";
import { newest } from "../../scripts/newest.mjs";
import { node } from "../../scripts/program.ts";
import type { Arena } from "../../src/engine/memory.ts";
import type { WeightType } from "../../src/engine/weight-types.ts";
import {
  DOT,
  DOT_MACS,
  J_ADDRESS,
  J_BYTES,
  J_FACTOR,
  J_KIND,
  J_RESULTS,
  J_ROUNDS,
  J_TEAM,
  MULTIPLY_ADD,
  MULTIPLY_ADD_MACS,
  READ,
  STEP,
  WIDEN_BF16,
  WIDEN_F16,
  WIDEN_Q8_0,
} from "../assembly/jobs.ts";
import { measure } from "./measure.ts";
import { Team } from "./team.ts";

/** Bytes of weights that the widening loops go through: they stay in the nearest cache. */
const NEAR = 4096;
/** Bytes read, or multiply-adds done, in one call: so many that calling does not count. */
const ENOUGH = 1 << 23;

/** Compiles the loops, if they changed since the last time. */
export async function limitsModule(threads: boolean): Promise<WebAssembly.Module> {
  const target = threads ? "limits-threads" : "limits";
  const file = `build/bench/${target}.wasm`;
  if (newest([file]) < newest(["assembly", "bench/assembly", "bench/asconfig.json"])) {
    const asc = ["bench/assembly/limits.ts", "--config", "bench/asconfig.json", "--target", target];
    const { code, output } = await node("node_modules/assemblyscript/bin/asc.js", asc);
    if (code !== 0) throw new Error(`asc ${asc.join(" ")} failed:\n${output}`);
  }
  return new WebAssembly.Module(readFileSync(file));
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

  /** GMAC/s of a kernel's innermost arithmetic with so many tokens, all ranks together. Quantised weights: as 8-bit codes. */
  arithmetic(type: WeightType, tokens: number): Promise<number> {
    const { ranks } = this.#team;
    const float = type === "f32" || type === "f16" || type === "bf16";
    // f32 has nothing to widen; several tokens share what was widened.
    if (type === "f32" || tokens > (float ? 1 : 2)) {
      const [kind, macs] = float ? [MULTIPLY_ADD, MULTIPLY_ADD_MACS] : [DOT, DOT_MACS];
      const rounds = Math.ceil(ENOUGH / macs);
      return this.#rate(`registers ${kind}`, kind, 0, 0, rounds, macs * rounds * ranks);
    }
    const kind = type === "f16" ? WIDEN_F16 : type === "bf16" ? WIDEN_BF16 : WIDEN_Q8_0;
    const weights = float ? NEAR / 2 : NEAR;
    const rounds = Math.ceil(ENOUGH / weights);
    return this.#rate(`widen ${kind}`, kind, this.#near, NEAR, rounds, weights * rounds * ranks);
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
