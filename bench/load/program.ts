/**
 * What each runtime is asked to do with a large file, whose path is the first argument: to read it once and copy it once; or, if there is a
 * second argument, the address of the package, to load it as a model with it. Prints what that took.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import process from "node:process";

const [path, address] = process.argv.slice(2) as [string, string?];
const PIECE = 1 << 20;

/** MiB: the most that this process had, without the pages of the file, which are the system's. */
const peak = () => Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1024;

/** Milliseconds of reading the whole file, piece by piece into one buffer, and of copying that buffer as often into memory that is new. */
function copy(): { read: number; copy: number } {
  const file = openSync(path, "r");
  const { size } = fstatSync(file);
  const buffer = new Uint8Array(PIECE);
  buffer.fill(1);
  const start = performance.now();
  for (let at = 0; at < size; at += PIECE) readSync(file, buffer, 0, PIECE, at);
  const between = performance.now();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < size; at += PIECE) {
    // No more than 1 GiB each, which every runtime has.
    if (at % (1 << 30) === 0) parts.push(new Uint8Array(Math.min(size - at + PIECE, 1 << 30)));
    parts.at(-1)!.set(buffer, at % (1 << 30));
  }
  const end = performance.now();
  closeSync(file);
  return { read: between - start, copy: end - between };
}

async function loaded(address: string): Promise<{ load: number; how: string; memory: number; peak: number }> {
  const { load }: typeof import("../../src/index.ts") = await import(address);
  const start = performance.now();
  const model = await load(path);
  const end = performance.now();
  const { mode, threads, build, memory } = model.info;
  const found = { load: end - start, how: `${mode} ${threads} ${build}`, memory: memory / 2 ** 20, peak: peak() };
  await model.close();
  return found;
}

console.log(`measured: ${JSON.stringify(address ? await loaded(address) : copy())}`);
process.exit();
