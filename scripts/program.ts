// Runs another program to its end, keeping what it prints, and ends it with all its children when it takes too long.
import { spawn } from "node:child_process";

export interface Finished {
  /** stdout and stderr, in the order they came. */
  output: string;
  /** `null` when it had to be killed, or died of a signal. */
  code: number | null;
  /** True when it was killed because its time was over. */
  timedOut: boolean;
  seconds: number;
}

/** Process groups alive now: none may outlive this program. */
const groups = new Set<number>();

function send(group: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(-group, signal);
  } catch {
    // It has ended in the meantime.
  }
}

const kill = (group: number): void => send(group, "SIGKILL");

/** Milliseconds for a program to end what is not in its group, such as browsers. */
const GRACE = 2000;

/** Asks first. */
function end(group: number): void {
  send(group, "SIGTERM");
  setTimeout(() => groups.has(group) && kill(group), GRACE);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => {
    groups.forEach(end);
    setTimeout(() => process.exit(1), groups.size > 0 ? GRACE : 0);
  });
process.on("exit", () => groups.forEach(kill));

/** Runs a program without input; `limit` in seconds. Rejects only when the program cannot be started. */
export function run(command: string, args: string[], limit = 3600, cwd?: string): Promise<Finished> {
  const started = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    if (child.pid === undefined) return;
    const group = child.pid;
    let timedOut = false;
    groups.add(group);
    const timer = setTimeout(() => {
      timedOut = true;
      end(group);
    }, limit * 1000);
    // "exit" comes when the program ends, "close" when its output does: children it left behind are ended in between.
    child.on("exit", () => kill(group));
    child.on("close", (code) => {
      clearTimeout(timer);
      groups.delete(group);
      resolve({ output, code, timedOut, seconds: (performance.now() - started) / 1000 });
    });
  });
}

/** Runs a JavaScript file with the Node this program runs in. */
export function node(file: string, args: string[] = [], limit?: number): Promise<Finished> {
  return run(process.execPath, [file, ...args], limit);
}
