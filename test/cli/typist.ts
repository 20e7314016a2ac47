/** Somebody who sits at a terminal and types, when what they wait for has appeared. The terminal is made by util-linux's `script`. */
import { spawn, spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";

/** Whether there is such a program here. */
export const hasTerminals = /util-linux/.test(String(spawnSync("script", ["--version"]).stdout ?? ""));

/** Seconds until somebody who waits in vain gives up. */
const PATIENCE = 240;

export interface Step {
  /** What has to appear, since the last step, before something is typed. */
  after: string | RegExp;
  type: string;
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** How the shell tells the program's exit code: `script` has one of its own, and who knows what that means. */
const END = /\n?\[ended with (\d+)\]\n$/;

/** Resolves, when the program has ended, to what the terminal showed, without colours and movements, and the exit code. */
export function typed(args: string[], steps: Step[]): Promise<{ code: number; shown: string }> {
  const command = [process.execPath, "dist/cli.js", ...args].map(quoted).join(" ");
  // A signal of the terminal's is for the program: the shell hears it, too, and goes on.
  const script = `trap : INT; ${command}; echo "[ended with $?]"`;
  const child = spawn("script", ["-qfc", script, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, SHELL: "/bin/sh", TERM: "xterm" },
  });
  const waiting = [...steps];
  let [shown, since] = ["", ""];
  const next = () => {
    const step = waiting[0];
    if (!step || !(typeof step.after === "string" ? since.includes(step.after) : step.after.test(since))) return;
    waiting.shift();
    since = "";
    child.stdin.write(step.type);
  };
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    const text = stripVTControlCharacters(part).replaceAll("\r", "");
    shown += text;
    since += text;
    next();
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`waited in vain for ${waiting[0]?.after ?? "the end"}; the terminal shows:\n${shown}`));
    }, PATIENCE * 1000);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      const [end, code] = END.exec(shown) ?? [];
      if (code === undefined)
        return reject(new Error(`the terminal ended (${signal ?? status}); it showed:\n${shown}`));
      shown = shown.slice(0, -end!.length);
      if (waiting.length > 0)
        reject(new Error(`ended with ${code} before ${waiting[0]!.after} appeared; it showed:\n${shown}`));
      else resolve({ code: Number(code), shown });
    });
  });
}
