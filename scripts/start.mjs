// `npm start [options]`: builds if something changed since the last time, then becomes `rwkv run` in this process.
// Every millisecond here comes before the first word, so nothing is loaded but what checking dates needs.
import { newest } from "./newest.mjs";

const program = "dist/cli.js";
if (newest([program]) < newest(["src", "assembly", "asconfig.json", "package.json"])) {
  console.error("Building (once, and again after changes) ...");
  const { spawnSync } = await import("node:child_process");
  const build = ["scripts/run.mjs", "scripts/build.ts", "--no-types"];
  // What the build prints goes to stderr: stdout belongs to the model.
  const { status } = spawnSync(process.execPath, build, { stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}
process.argv.splice(1, 1, program, "run");
await import(new URL(`../${program}`, import.meta.url).href);
