// Runs a TypeScript program of this repository on any Node from 20 on: `node scripts/run.mjs scripts/build.ts [arguments]`.
// esbuild turns it into one JavaScript file under build/run/, which is imported at once. Packages stay outside the bundle.
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const [program, ...rest] = process.argv.slice(2);
if (!program) throw new Error("usage: node scripts/run.mjs PROGRAM.ts [arguments]");
const outfile = resolve("build/run", `${program.replace(/[\\/]/g, "-").replace(/\.ts$/, "")}.mjs`);
mkdirSync("build/run", { recursive: true });
await build({
  entryPoints: [program],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  logLevel: "warning",
});
process.argv = [process.argv[0], outfile, ...rest];
await import(pathToFileURL(outfile).href);
