/** Runs the built program as a user would, in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";

export interface Outcome {
  /** `null` when it died of a signal. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Seconds until a program that hangs is ended, and its test fails. */
const LIMIT = 60;

interface Options {
  /** What standard input brings; nothing at all by default. `null`: nothing, but it stays open. */
  input?: string | Uint8Array | null;
  onStart?: (child: ChildProcess) => void;
  /** Called when the first output has come. */
  onOutput?: (child: ChildProcess) => void;
}

/** Resolves when the process has ended and nothing holds its output open any more: nothing is left running then. */
export function start(command: string, args: string[], { input, onStart, onOutput }: Options = {}): Promise<Outcome> {
  const child = spawn(command, args, { stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"] });
  if (input !== null) child.stdin?.end(input);
  onStart?.(child);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]!.setEncoding("utf8").on("data", (part: string) => {
      if (name === "stdout" && text.stdout === "") onOutput?.(child);
      text[name] += part;
    });
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT * 1000);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...text });
    });
  });
}

export const rwkv = (args: string[], options?: Options): Promise<Outcome> =>
  start(process.execPath, ["dist/cli.js", ...args], options);
