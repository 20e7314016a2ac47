/** The command line as one file that can be run, for this kind of machine: program, kernels, vocabulary and model in a runtime. */

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { build } from "esbuild";
import { type Finished, run } from "../program.ts";
import { SHIPPED } from "./shipped.ts";

/** The runtimes that can make executables. */
export const KINDS = ["bun", "deno", "node"] as const;
export type Kind = (typeof KINDS)[number];

const PROGRAM = "rwkv.mjs";
/** What stands in the place of files that expect others beside them. */
const INSTEAD: Readonly<Record<string, string>> = {
  // The library with its kernels, its workers' script and the vocabulary in it.
  "src/index.ts": "dist/inline.js",
  "src/cli/shipped.ts": "scripts/executable/shipped.ts",
  "src/cli/lab.ts": "scripts/executable/lab.ts",
};

/** Writes the program and the model into a folder: all that an executable is made of beside the runtime. */
export async function writeParts(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join("weights", SHIPPED), join(folder, SHIPPED));
  await build({
    entryPoints: ["src/cli/main.ts"],
    outfile: join(folder, PROGRAM),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
    minify: true,
    logLevel: "warning",
    plugins: [
      {
        name: "everything inside",
        setup({ onResolve }) {
          onResolve({ filter: /\/(index|shipped|lab)\.ts$/ }, ({ path, resolveDir }) => {
            const instead = INSTEAD[relative(".", resolve(resolveDir, path)).replaceAll("\\", "/")];
            return instead ? { path: resolve(instead) } : undefined;
          });
        },
      },
    ],
  });
}

/** How each runtime is asked to make an executable out of the parts in the folder it is run in. */
const COMMANDS: Readonly<Record<Kind, (output: string) => string[]>> = {
  // Named as it is, without the hash that Bun would add.
  bun: (output) => ["build", "--compile", "--asset-naming=[name].[ext]", PROGRAM, SHIPPED, `--outfile=${output}`],
  deno: (output) => [
    "compile",
    "--allow-all",
    "--no-config",
    "--no-lock",
    "--no-check",
    `--include=${SHIPPED}`,
    `--output=${output}`,
    PROGRAM,
  ],
  node: () => ["--build-sea", "sea.json"],
};

/** What may be missing. */
const HINTS: Partial<Record<Kind, string>> = {
  deno: " (the first time it downloads denort, the part of Deno that runs programs, from dl.deno.land; DENORT_BIN can name a copy)",
  node: " (it takes Node 26 or newer)",
};

/**
 * Makes an executable. `runtime`: the program that makes it, and of which it is made. Throws an `Error` that says what the runtime
 * said.
 */
export async function makeExecutable(kind: Kind, output: string, runtime: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "rwkv-wasm-"));
  try {
    await writeParts(folder);
    if (kind === "node") writeFileSync(join(folder, "sea.json"), JSON.stringify(sea(resolve(output))));
    const { code, output: said } = await compile(kind, resolve(output), runtime, folder).catch((cause) => {
      throw new Error(`${runtime} could not be started: ${cause.message}`, { cause });
    });
    if (code !== 0)
      throw new Error(
        `${runtime} could not make the executable${HINTS[kind] ?? ""}: ${stripVTControlCharacters(said).trim()}`,
      );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compile(kind: Kind, output: string, runtime: string, folder: string): Promise<Finished> {
  const command = runtime.includes("/") || runtime.includes("\\") ? resolve(runtime) : runtime;
  return run(command, COMMANDS[kind](output), 600, folder);
}

/** What Node wants to know: nodejs.org/api/single-executable-applications.html. */
const sea = (output: string) => ({
  main: PROGRAM,
  mainFormat: "module",
  output,
  disableExperimentalSEAWarning: true,
  assets: { [SHIPPED]: SHIPPED },
});
