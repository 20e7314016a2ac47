// src/ → dist/*.js: each public entry becomes a file. What the library's entries need at once lies in one chunk, and what few
// need in chunks of its own that are loaded when they are needed (the budgets are in test/package/size.test.ts). Code is shared,
// so that a class such as RwkvError is one and the same whichever entry it was imported through. Names are shortened; the
// source maps bring them back.
import { chmodSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type InputOptions, type OutputChunk, type OutputOptions, rolldown } from "rolldown";

const { dependencies, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
/** Packages that package.json lists as dependencies, optional ones too, with the files in them. */
const packages = Object.keys({ ...dependencies, ...peerDependencies }).map((name) => new RegExp(`^${name}(/|$)`));

interface Bundle extends InputOptions {
  input: Record<string, string>;
  /** Those of the entries that are the library. */
  library?: string[];
}

const BUNDLES: Bundle[] = [
  // For Node, Deno and Bun. Dependencies stay imports; other packages are bundled in.
  {
    input: { index: "src/index.ts", cli: "src/cli/main.ts" },
    library: ["index"],
    platform: "node",
    external: [/^node:/, ...packages],
  },
  // For pages, also those without a bundler or an import map: everything is in the files, and Node's modules are an error.
  { input: { web: "src/web.ts" }, library: ["web"], platform: "browser" },
  // One file for each kind of worker: import maps do not reach workers, and it is quicker to start.
  { input: { worker: "src/platform/worker-web.ts" }, platform: "browser" },
  { input: { "worker.node": "src/platform/worker-node.ts" }, platform: "node", external: /^node:/ },
];

const OUTPUT: OutputOptions = { format: "esm", minify: true, sourcemap: true, chunkFileNames: "[name]-[hash].js", keepNames: true };

/** The modules that all of these entries import, directly or through others, without those they load later. */
function shared(chunks: OutputChunk[], entries: string[]): Set<string> {
  const reached = entries.map((entry) => {
    const files = new Set([`${entry}.js`]);
    const modules = new Set<string>();
    for (const file of files) {
      const chunk = chunks.find(({ fileName }) => fileName === file);
      for (const id of chunk?.moduleIds ?? []) modules.add(id);
      for (const imported of chunk?.imports ?? []) files.add(imported);
    }
    return modules;
  });
  return new Set([...reached[0]].filter((id) => reached.every((modules) => modules.has(id))));
}

/** Writes one bundle into dist/. Returns the names of its files. */
async function write({ library, ...input }: Bundle): Promise<string[]> {
  const bundle = await rolldown({ ...input, logLevel: "warn" });
  try {
    let groups: OutputOptions = {};
    if (library) {
      const { output } = await bundle.generate(OUTPUT);
      const core = shared(
        output.filter((file) => file.type === "chunk"),
        library,
      );
      groups = { codeSplitting: { groups: [{ name: "core", test: (id) => core.has(id) }] } };
    }
    const { output } = await bundle.write({ ...OUTPUT, ...groups, dir: "dist" });
    return output.map(({ fileName }) => fileName);
  } finally {
    await bundle.close();
  }
}

/** Bundles all entries into dist/ and removes what earlier builds left there. */
export async function bundle(): Promise<void> {
  const written = new Set<string>();
  for (const one of BUNDLES) for (const name of await write(one)) written.add(name);
  chmodSync("dist/cli.js", 0o755);
  for (const name of readdirSync("dist")) {
    if (/\.js(\.map)?$/.test(name) && !written.has(name)) rmSync(join("dist", name));
  }
}
