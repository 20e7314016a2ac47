// An example in a state in which it can be used: its packages installed as its lock file says, and of this one what was just packed.
import { spawn } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { load } from "rwkv-wasm";
import * as assert from "uvu/assert";
import { newest } from "../../scripts/newest.mjs";
import { packed } from "../../scripts/packed.ts";
import { type Finished, run } from "../../scripts/program.ts";
import type { Browser } from "../runtimes/browsers.ts";

const WEIGHTS = "weights/stories-7m.q8_0.gguf";

/** What all examples write. */
export async function expected(): Promise<string> {
  const model = await load(WEIGHTS, { threads: 0 });
  const text = await model.generate("Once upon a time", { maxTokens: 60, seed: 7 }).text();
  await model.close();
  return text;
}

/** Runs a script of the example's package.json, which must end well. */
export async function npm(name: string, ...args: string[]): Promise<Finished> {
  const finished = await run("npm", ["--prefix", `examples/${name}`, ...args], 300);
  assert.is(finished.code, 0, `npm ${args.join(" ")} in examples/${name}:\n${finished.output}`);
  return finished;
}

export async function install(name: string): Promise<void> {
  const folder = `examples/${name}`;
  const { folder: unpacked } = packed();
  const done = newest([`${folder}/node_modules/.package-lock.json`]) > newest([`${folder}/package-lock.json`]);
  if (!done) await npm(name, "ci", "--ignore-scripts");
  const own = `${folder}/node_modules/rwkv-wasm`;
  rmSync(own, { recursive: true, force: true });
  cpSync(unpacked, own, { recursive: true });
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A server of an example, run by this Node: back when it answers. */
export async function start(name: string, program: string, ...args: string[]): Promise<{ stop(): void }> {
  const cwd = `examples/${name}`;
  assert.ok(existsSync(`${cwd}/${program}`), `${cwd}/${program}`);
  const child = spawn(process.execPath, [program, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const stop = () => void child.kill("SIGKILL");
  process.once("exit", stop);
  let output = "";
  const told = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} did not start:\n${output}`)), 120_000);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (!/ready|Local:/i.test(output)) return;
        clearTimeout(timer);
        resolve();
      });
    child.once("exit", (code) => reject(new Error(`${program} ended with ${code}:\n${output}`)));
  });
  await told;
  return { stop };
}

/** Opens a page that writes a story into `#story`, and says into `#info` how. Answers both. */
export async function read(browser: Browser, url: string): Promise<{ info: string; story: string }> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await page.goto(url);
    const text = (id: string) => `document.getElementById("${id}")?.textContent ?? ""`;
    for (let waited = 0; waited < 600; waited++) {
      if (await page.evaluate(`document.getElementById("story")?.dataset.done === ""`)) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const [info, story] = (await page.evaluate(`[${text("info")}, ${text("story")}]`)) as [string, string];
    return { info: info.trim(), story: story.trim() };
  } finally {
    await context.close();
  }
}
