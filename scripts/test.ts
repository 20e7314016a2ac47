// `npm test [word ...]`: builds, then runs every test, or those whose path contains one of the words. Each file of
// test/**/*.test.ts runs in a process of its own. The type check and the style check count as a test each. A file that
// fails while others run beside it is run once more alone, and said to be unsteady if it passes then. The last line is
// `N passed, N failed`.
import { readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { newest } from "./newest.mjs";
import { packed } from "./packed.ts";
import { type Finished, node, run } from "./program.ts";
import { judge, tally, type Verdict } from "./test/judge.ts";

/** Seconds a test file may take; generous, for it decides nothing but when to give up on a file that hangs. */
const LIMIT = 1800;
/** More files than this that fail are no accident of a busy machine: none of them is run again. */
const ACCIDENTS = 4;
const words = process.argv.slice(2);
const total: Verdict = { passed: 0, failed: 0, skipped: 0 };

/** Says how one file or step went, with all it printed if it did not go well, and counts it. */
function report(name: string, finished: Finished, verdict: Verdict): void {
  count(verdict);
  say(name, finished, verdict);
}

function count(verdict: Verdict): void {
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += verdict[key];
}

function say(name: string, finished: Finished, verdict: Verdict): void {
  const bad = verdict.failed > 0;
  if (bad) console.log(finished.output.trimEnd());
  // What a file leaves out, and why, is said even when all the rest is well.
  else for (const [line] of finished.output.matchAll(/^Skipped: \D.*$/gm)) console.log(line);
  const reason = verdict.reason ? ` (${verdict.reason})` : "";
  console.log(`${bad ? "FAILED" : "ok    "} ${name}  ${tally(verdict)}${reason}, ${finished.seconds.toFixed(1)} s`);
}

/** A step that is a program and passes or fails as one. Returns true when it passed. */
async function step(name: string, work: Promise<Finished>): Promise<boolean> {
  const finished = await work;
  const passed = finished.code === 0;
  const reason = passed ? undefined : finished.timedOut ? "did not end" : `exit code ${finished.code}`;
  report(name, finished, { passed: Number(passed), failed: Number(!passed), skipped: 0, reason });
  return passed;
}

const wanted = (name: string) => words.length === 0 || words.some((word) => name.includes(word));

/** Paths of the test files asked for. */
function find(): string[] {
  const names = readdirSync("test", { recursive: true, encoding: "utf8" });
  const tests = names.filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules"));
  return tests
    .map((name) => join("test", name))
    .filter(wanted)
    .sort();
}

/** Turns the test files into JavaScript under build/test/. Returns the sources that went into them. */
async function compile(files: string[]): Promise<string[]> {
  rmSync("build/test", { recursive: true, force: true });
  const { metafile } = await build({
    entryPoints: files,
    outdir: "build/test",
    outbase: "test",
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // `rwkv-wasm` is a package too: it resolves to dist/, through the exports that users get.
    packages: "external",
    sourcemap: true,
    metafile: true,
    logLevel: "warning",
  });
  return Object.keys(metafile.inputs);
}

function runFile(file: string): Promise<Finished> {
  const compiled = file.replace(/^test/, "build/test").replace(/\.ts$/, ".js");
  return run(process.execPath, ["--enable-source-maps", compiled], LIMIT);
}

/** Runs the compiled files, as many at a time as there are cores, then those that failed once more, one by one. */
async function runAll(files: string[]): Promise<void> {
  const queue = files.values();
  const bad: { file: string; verdict: Verdict }[] = [];
  const lane = async () => {
    for (const file of queue) {
      const finished = await runFile(file);
      const verdict = judge(finished);
      if (verdict.failed === 0) report(file, finished, verdict);
      else {
        say(file, finished, verdict);
        bad.push({ file, verdict });
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  if (bad.length > ACCIDENTS) {
    for (const { verdict } of bad) count(verdict);
    return;
  }
  for (const { file } of bad) {
    console.log(`Once more, alone: ${file}`);
    const finished = await runFile(file);
    const verdict = judge(finished);
    report(file, finished, verdict);
    if (verdict.failed === 0) console.log(`UNSTEADY ${file}: failed beside others, passed alone`);
  }
}

/** Installs the other runtimes when they are missing or others than the lock file says. */
async function installRuntimes(): Promise<boolean> {
  const folder = "test/runtimes";
  if (newest([`${folder}/node_modules/.package-lock.json`]) > newest([`${folder}/package-lock.json`])) return true;
  console.log("Installing Deno, Bun, workerd and other versions of Node for the tests (once; 950 MB on disk) ...");
  return step("install runtimes", run("npm", ["ci", "--prefix", folder]));
}

async function main(): Promise<void> {
  if (!(await step("build", node("scripts/run.mjs", ["scripts/build.ts"])))) return;
  if (wanted("types")) await step("types", node("node_modules/typescript/bin/tsc", ["--noEmit"]));
  if (wanted("style")) await step("style", node("node_modules/@biomejs/biome/bin/biome", ["check"]));
  const files = find();
  if (files.length === 0 && words.length > 0) throw new Error(`No test file's path contains ${words.join(" or ")}.`);
  const sources = await compile(files);
  if (sources.some((path) => path.startsWith("test/runtimes/")) && !(await installRuntimes())) return;
  // Once, before tests that want it run side by side.
  if (sources.includes("scripts/packed.ts")) packed();
  await runAll(files);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  total.failed++;
}
console.log(tally(total));
process.exitCode = total.failed > 0 ? 1 : 0;
