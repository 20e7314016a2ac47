// The command line as single executables: each is made by its runtime, and run from a folder that has nothing in it, with an
// environment that has nothing in it either.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Kind, makeExecutable, writeParts } from "../../scripts/executable/make.ts";
import { programs } from "../runtimes/runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
const elsewhere = join(folder, "elsewhere");
mkdirSync(elsewhere);
test.after(() => rmSync(folder, { recursive: true }));

const STORY = ["run", "The little dog", "--seed", "7", "--max-tokens", "60"];
const told = execFileSync(process.execPath, ["dist/cli.js", ...STORY], { encoding: "utf8", stdio: "pipe" });

/** Runs a program elsewhere; answers what it prints. */
const output = (command: string, args: string[], input = ""): string =>
  execFileSync(command, args, { cwd: elsewhere, env: { HOME: elsewhere }, input, encoding: "utf8", stdio: "pipe" });

/** What an executable must do, told by how it is started. */
function check(command: string, before: string[] = []): void {
  const rwkv = (args: string[], input?: string) => output(command, [...before, ...args], input);
  assert.is(rwkv(STORY), told);
  for (const threads of ["0", "1", "2"]) assert.is(rwkv([...STORY, "--threads", threads]), told, `${threads} threads`);
  assert.is(rwkv(["run", ...STORY.slice(2)], "The little dog\n"), told, "from standard input");
  // The World vocabulary is inside, and the file system outside.
  const model = resolve("test/fixtures/v7.bf16.pth");
  assert.match(rwkv(["inspect", model]), /^model .*RWKV-7/);
  rwkv(["convert", model, "copy.gguf"]);
  assert.match(rwkv(["inspect", "copy.gguf"]), /^container +GGUF/m);
  try {
    rwkv(["run", "--model", "none.gguf"]);
    assert.unreachable();
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string };
    assert.is(status, 1);
    assert.match(stderr, "rwkv: none.gguf cannot be opened: there is no such file\n");
  }
}

const runtimes: [Kind, string][] = [
  ["bun", "Bun"],
  ["node", "Node 26"],
  ["deno", "Deno"],
];
for (const [kind, name] of runtimes) {
  const runtime =
    kind === "node" && process.versions.node.startsWith("26.")
      ? process.execPath
      : programs().find((one) => one.name === name)?.command;
  if (!runtime) {
    console.log(`Skipped: executables of ${name}, which no package brings for this machine.`);
    test.skip(name);
    continue;
  }
  const executable = join(folder, kind);
  const problem = await makeExecutable(kind, executable, runtime).then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (
    kind === "deno" &&
    problem &&
    /error sending request for url \(https:\/\/dl\.deno\.land\/.*denort/.test(problem)
  ) {
    console.log("Skipped: an executable of Deno, because denort cannot be downloaded from dl.deno.land here.");
    test.skip(`${name}: an executable`);
  } else {
    test(`${name}: an executable`, () => {
      assert.is(problem, undefined);
      check(executable);
    });
  }
}

const deno = programs().find(({ name }) => name === "Deno")?.command;
if (deno) {
  test("Deno: the parts of its executable, run by Deno itself", async () => {
    const parts = join(folder, "parts");
    await writeParts(parts);
    check(resolve(deno), ["run", "--allow-all", "--no-config", "--no-lock", "--cached-only", join(parts, "rwkv.mjs")]);
  });

  test("Deno: the program and the model go into its executable", async () => {
    // Deno itself in the place of denort: what is made so cannot be run, but is put together in the same way.
    const before = process.env.DENORT_BIN;
    process.env.DENORT_BIN = resolve(deno);
    try {
      const file = join(folder, "assembled");
      await makeExecutable("deno", file, deno);
      const size = (path: string) => statSync(path).size;
      assert.ok(size(file) > size(deno) + size("weights/stories-7m.q8_0.gguf"));
    } finally {
      if (before === undefined) delete process.env.DENORT_BIN;
      else process.env.DENORT_BIN = before;
    }
  });
}

test("what cannot be made is said in a sentence", async () => {
  const error = await makeExecutable("bun", join(folder, "x"), "./no-such-program").catch(
    (error: Error) => error.message,
  );
  assert.match(String(error), /^\.\/no-such-program could not be started: /);
  if (!process.versions.node.startsWith("26.")) {
    const old = await makeExecutable("node", join(folder, "x"), process.execPath).catch(
      (error: Error) => error.message,
    );
    assert.match(String(old), "it takes Node 26 or newer");
  }
});

test.run();
