// How long a user waits: from starting the process to the first word on its standard output, for `npm start` and for the
// command itself; and the most memory that it takes for a whole text. The model comes from the disk cache: the first run,
// which may also build, does not count.
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { median } from "./lib/measure.ts";
import { options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options({ runs: "10", json: undefined as string | undefined });

const COMMANDS = [
  ["npm", "start"],
  ["node", "dist/cli.js", "run"],
];
/** With what the command begins when it is given no prompt. It is written before the model has said anything. */
const PROMPT = "Once upon a time";
/** Seconds after which something is wrong. */
const LIMIT = 120;

/** Runs a command, in a process group of its own, until `done` says so of its output or it ends. Answers what `done` last did. */
function watch(
  [command, ...args]: string[],
  env: Record<string, string>,
  done: (output: string) => boolean,
): Promise<void> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...env },
  });
  let output = "";
  let errors = "";
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended.
      }
    };
    const timer = setTimeout(end, LIMIT * 1000);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    let finished = false;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (finished || !done(output)) return;
      finished = true;
      end();
    });
    child.on("error", reject);
    child.on("close", (code) => {
      end();
      if (finished || code === 0) resolve();
      else reject(new Error(`${[command, ...args].join(" ")} ended with ${code}:\n${errors}`));
    });
  });
}

/** What the model's program wrote, without the lines in which npm says what it runs. */
const written = (output: string): string => output.replace(/^> .*$/gm, "").trimStart();

/** Milliseconds to the first text and to the first word that the model wrote. */
async function first(command: string[]): Promise<{ text: number; word: number }> {
  const start = performance.now();
  const times = { text: Number.NaN, word: Number.NaN };
  await watch(command, {}, (output) => {
    const text = written(output);
    const now = performance.now() - start;
    if (text && Number.isNaN(times.text)) times.text = now;
    // The first letter may come with the next token's beginning or not: what counts is that something was said.
    if (text.startsWith(PROMPT) && text.slice(PROMPT.length).trim()) times.word = now;
    return !Number.isNaN(times.word);
  });
  if (Number.isNaN(times.word)) throw new Error(`${command.join(" ")} wrote nothing after "${PROMPT}".`);
  return times;
}

/** MiB: the most that the largest process of a command had, from its start to its end. */
async function peak(command: string[]): Promise<number> {
  const folder = resolve("build/bench/peak");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Loaded before the program, into npm's process too: leaves a file when the process ends.
  const note = `
    import { writeFileSync } from "node:fs";
    process.on("exit", () => writeFileSync(
      new URL(String(process.pid), "${pathToFileURL(folder)}/"), String(process.resourceUsage().maxRSS)));`;
  await watch(command, { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(note)}` }, () => false);
  const found = readdirSync(folder).map((name) => Number(readFileSync(resolve(folder, name), "utf8")));
  return Math.max(...found) / 1024;
}

const report = new Report("Start", chosen.json);
const row = report.table(`Milliseconds, ${chosen.runs} runs`, [
  "command",
  "first text",
  "first word",
  "quickest",
  "slowest",
  "peak RSS MiB",
]);
for (const command of COMMANDS) {
  await first(command);
  const runs = [];
  for (let run = 0; run < Number(chosen.runs); run++) runs.push(await first(command));
  const words = runs.map(({ word }) => word);
  row(
    command.join(" "),
    Math.round(median(runs.map(({ text }) => text))),
    Math.round(median(words)),
    Math.round(Math.min(...words)),
    Math.round(Math.max(...words)),
    Math.round(await peak(command)),
  );
}
report.end();
