// src/ → dist/*.js: each public entry becomes a file; what several entries share becomes a chunk beside them, so that
// a class such as RwkvError is one and the same whichever entry it was imported through.
import { chmodSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";

const { dependencies, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));

/** For Node, Deno and Bun. Packages that package.json lists as dependencies, optional ones too, stay imports; others are bundled in. */
const installed: BuildOptions = {
  entryPoints: { index: "src/index.ts", cli: "src/cli/main.ts" },
  platform: "node",
  splitting: true,
  external: Object.keys({ ...dependencies, ...peerDependencies }),
};

/** For pages, also those without a bundler or an import map: everything is in the file, and Node's modules are an error. */
const page: BuildOptions = { entryPoints: { web: "src/web.ts" }, platform: "browser", splitting: true };

/** One file for workers of every kind: import maps do not reach workers, and it is quicker to start. */
const worker: BuildOptions = { entryPoints: { worker: "src/platform/worker.ts" }, platform: "node" };

/** Bundles all entries into dist/ and removes what earlier builds left there. */
export async function bundle(): Promise<void> {
  const written = new Set<string>();
  for (const options of [installed, page, worker]) {
    const result = await build({
      ...options,
      outdir: "dist",
      chunkNames: "chunk-[hash]",
      bundle: true,
      format: "esm",
      target: "es2022",
      minifySyntax: true,
      sourcemap: true,
      metafile: true,
      logLevel: "warning",
    });
    for (const path of Object.keys(result.metafile.outputs)) written.add(path);
  }
  chmodSync("dist/cli.js", 0o755);
  for (const name of readdirSync("dist")) {
    if (/\.js(\.map)?$/.test(name) && !written.has(`dist/${name}`)) rmSync(join("dist", name));
  }
}
