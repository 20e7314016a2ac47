// An example in a state in which it can be used: its packages installed as its lock file says, and of this one what was just packed.
import { spawn } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { load } from "rwkv-wasm";
import * as assert from "uvu/assert";
import { packed } from "../../scripts/packed.ts";
import { type Finished, run } from "../../scripts/program.ts";
import type { Browser } from "../runtimes/browsers.ts";

const WEIGHTS = "weights/stories-7m.q8_0.gguf";
/** Seconds for one thing to be done; generous, it only ends what hangs. */
const LIMIT = 900;

// Nobody is to be told of these runs.
Object.assign(process.env, { NEXT_TELEMETRY_DISABLED: "1", WRANGLER_SEND_METRICS: "false" });

/** What all examples write. */
export async function expected(): Promise<string> {
  const model = await load(WEIGHTS, { threads: 0 });
  const text = await model.generate("Once upon a time", { maxTokens: 60, seed: 7 }).text();
  await model.close();
  return text;
}

/** Runs a script of the example's package.json, which must end well. */
export async function npm(name: string, ...args: string[]): Promise<Finished> {
  const finished = await run("npm", ["--prefix", `examples/${name}`, ...args], LIMIT);
  assert.is(finished.code, 0, `npm ${args.join(" ")} in examples/${name}:\n${finished.output}`);
  return finished;
}

/** Installs just what the lock file says, anew, from npm's cache where that has it. */
export async function install(name: string): Promise<void> {
  const { folder } = packed();
  await npm(name, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=5");
  // What was packed last may be younger than the tarball that npm knows.
  const own = `examples/${name}/node_modules/rwkv-wasm`;
  rmSync(own, { recursive: true, force: true });
  cpSync(folder, own, { recursive: true });
}

/** A server of an example, run by this Node on a port of its choice (`--port 0`): back when it says where. */
export async function start(name: string, program: string, ...args: string[]): Promise<{ url: string; stop(): void }> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: `examples/${name}`,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const group = child.pid!;
  const stop = () => {
    process.off("exit", stop);
    if (child.exitCode === null && child.signalCode === null) process.kill(-group, "SIGKILL");
  };
  process.once("exit", stop);
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`${program} did not start:\n${output}`));
    }, LIMIT * 1000);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        const said = /Local: +http:\/\/[^:\s]+:(\d+)/.exec(stripVTControlCharacters(output));
        if (!said) return;
        clearTimeout(timer);
        resolve(`http://127.0.0.1:${said[1]}`);
      });
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`${program} ended with ${code}:\n${output}`));
    });
  });
  return { url, stop };
}

/** Opens a page that writes a story into `#story`, and says into `#info` how. Answers both. */
export async function read(browser: Browser, url: string): Promise<{ info: string; story: string }> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await page.goto(url);
    const text = (id: string) => `document.getElementById("${id}")?.textContent ?? ""`;
    const look = `[${text("info")}, ${text("story")}, document.getElementById("story")?.dataset.done === ""]`;
    for (const end = performance.now() + LIMIT * 1000; ; ) {
      // While a page is loaded anew there is nothing to ask: development servers do that when they have found another package.
      const seen = (await page.evaluate(look).catch(() => undefined)) as [string, string, boolean] | undefined;
      const [info, story, done] = seen ?? ["no page", "", false];
      if (done || performance.now() > end) return { info: info.trim(), story: story.trim() };
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    await context.close();
  }
}
