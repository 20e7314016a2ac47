/**
 * Runs a property of the kernels in every build that this runtime compiles, and once more with its memory above 2 GiB, where
 * addresses are negative numbers to WebAssembly. After each call of a kernel the guard zones are looked at: see `arena.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { test } from "uvu";
import { type Build, instantiate, type Kernels } from "../../src/engine/kernels.ts";
import { Arena } from "./arena.ts";

/** What a property is given: an instance of the kernels and memory for its buffers. */
export interface Setting {
  build: Build;
  /** Every call is followed by a check of the guard zones. */
  kernels: Kernels;
  /** The same without the checks, for millions of calls. */
  unguarded: Kernels;
  arena: Arena;
}

const BUILDS: Build[] = ["plain", "relaxed", "plain-threads", "relaxed-threads"];
const PAGE = 65536;
/** Bytes of an arena. Only what a test touches becomes real memory. */
const SIZE = 96 * 2 ** 20;
/** Low: above the static data. High: the first region of a test lies across the 2 GiB line, or just below it, the others above. */
const LOW = PAGE;
const HIGH = 2 ** 31 - 1024;

export function wasm(build: Build): Uint8Array<ArrayBuffer> {
  const path = `dist/kernels/${build}.wasm`;
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm run build first.`);
  return new Uint8Array(readFileSync(path));
}

/** The builds that this runtime compiles. */
export const builds = BUILDS.filter((build) => WebAssembly.validate(wasm(build)));

/** Is the relaxed dot product of bytes exact for 8-bit codes here? The kernels differ by that. */
const exact = builds.some((build) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: PAGE, shared: build.endsWith("threads") });
  return instantiate(new WebAssembly.Module(wasm(build)), memory).features() & 4;
});
const left = BUILDS.filter((build) => !builds.includes(build));
console.log(
  `kernels: ${builds.join(", ")}${left.length ? `; this runtime cannot compile ${left.join(", ")}, which runtimes.test.ts has tested` : ""}`,
);
console.log(`8-bit codes in 8-bit arithmetic: ${exact ? "yes" : "no"}`);

function set(build: Build, base: number): Setting {
  const pages = Math.ceil((base + SIZE) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: build.endsWith("threads") });
  const arena = new Arena(memory, base);
  const unguarded = instantiate(new WebAssembly.Module(wasm(build)), memory);
  const kernels = Object.fromEntries(
    Object.entries(unguarded).map(([name, kernel]) => [
      name,
      typeof kernel !== "function"
        ? kernel
        : (...args: unknown[]) => {
            const result = (kernel as (...args: unknown[]) => unknown)(...args);
            arena.check(name);
            return result;
          },
    ]),
  ) as unknown as Kernels;
  return { build, kernels, unguarded, arena };
}

const settings = new Map<string, Setting>();

/** The one setting of a kind in this process. */
export function setting(build: Build, base = LOW): Setting {
  const key = `${build} ${base}`;
  const found = settings.get(key) ?? set(build, base);
  settings.set(key, found);
  found.arena.reset();
  return found;
}

/** Registers one test per build, and one above 2 GiB. */
export function everywhere(name: string, property: (setting: Setting) => void): void {
  for (const build of builds) test(`${build}: ${name}`, () => property(setting(build)));
  test(`${builds[0]} above 2 GiB: ${name}`, () => property(setting(builds[0], HIGH)));
}

const remembered = new Map<string, unknown>();

/** A reference's answer, computed for the first build and kept for the others. */
export function once<T>(key: string, compute: () => T): T {
  if (!remembered.has(key)) remembered.set(key, compute());
  return remembered.get(key) as T;
}

const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

/** Throws unless both hold the same bits; any NaN equals any other. */
export function same(actual: Float32Array, expected: Float32Array, what: string): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} numbers, not ${expected.length}`);
  const a = bits(actual);
  const e = bits(expected);
  for (let i = 0; i < a.length; i++) {
    if (a[i] === e[i] || (Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) continue;
    throw new Error(
      `${what}: number ${i} is ${actual[i]} (${a[i].toString(16)}), not ${expected[i]} (${e[i].toString(16)})`,
    );
  }
}

/** Throws unless every number is within `tolerance` of what float64 gives. */
export function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  for (let i = 0; i < expected.length; i++) {
    if (Math.abs(actual[i] - expected[i]) <= tolerance) continue;
    throw new Error(`${what}: number ${i} is ${actual[i]}, not ${expected[i]} to within ${tolerance}`);
  }
}
