// src/ → dist/*.js: each public entry becomes a file. What the library's entries need at once lies in one chunk, and what few
// need in chunks of its own that are loaded when they are needed (the budgets are in test/package/size.test.ts). Names are
// shortened; the source maps bring them back.
import { chmodSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type InputOptions, type OutputChunk, type OutputOptions, type Plugin, rolldown } from "rolldown";

const { dependencies, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
/** Packages that package.json lists as dependencies, optional ones too, with the files in them. */
const packages = Object.keys({ ...dependencies, ...peerDependencies }).map((name) => new RegExp(`^${name}(/|$)`));

interface Bundle extends InputOptions {
  input: Record<string, string>;
  /** The one of the entries that is the library, if what few need is to lie in chunks of its own. Else everything is in one file. */
  library?: string;
  /** A classic script, not a module. */
  classic?: boolean;
}

const LIBRARY = "src/index.ts";

/** The library with another file of src/platform/ in the place of node.ts. */
const on = (platform: string): Plugin => ({
  name: "platform",
  resolveId: (id, importer) =>
    id === "./platform/node.ts" && importer === resolve(LIBRARY) ? resolve(`src/platform/${platform}.ts`) : undefined,
});

/** Kernels that are imported stay imports of what lies beside the outcome. */
const kernelsBeside: Plugin = {
  name: "kernels",
  resolveId: (id) => (id.endsWith(".wasm") ? { id, external: "absolute" } : undefined),
};

/** For Node, Deno and Bun, dependencies stay imports; other packages are bundled in. */
const installed: InputOptions = { platform: "node", external: [/^node:/, ...packages] };
/** For pages, also those without a bundler or an import map: everything is in the files, and Node's modules are an error. */
const page: InputOptions = { platform: "browser" };

/** One file for each kind of worker, service workers included: import maps do not reach workers, and it is quicker to start. */
const WORKERS: Bundle[] = [
  { ...page, input: { worker: "src/platform/worker-web.ts" } },
  { platform: "node", external: /^node:/, input: { "worker.node": "src/platform/worker-node.ts" } },
  { ...page, input: { isolation: "src/platform/isolation.ts" }, classic: true },
];

const entries = (): Bundle[] => [
  { ...installed, input: { index: LIBRARY, cli: "src/cli/main.ts" }, library: "index" },
  { ...page, input: { web: LIBRARY }, library: "web", plugins: [on("web")] },
  // workerd's own tools bundle what they deploy, and find kernels by their imports.
  {
    ...page,
    input: { workerd: LIBRARY },
    plugins: [on("workerd"), kernelsBeside],
    transform: { define: embedded() },
  },
];

/** Programs in which everything is. They carry their workers' script, so that is made before them. */
const inline = (): Bundle[] => [
  {
    platform: "node",
    external: [/^node:/, "@huggingface/tokenizers"],
    input: { inline: LIBRARY },
    plugins: [on("inline-node")],
    transform: { define: embedded("worker.node") },
  },
  { ...page, input: { "inline.web": LIBRARY }, plugins: [on("inline-web")], transform: { define: embedded("worker") } },
];

/** What platform/embedded.ts wants. */
function embedded(worker?: string): Record<string, string> {
  const builds = readdirSync("dist/kernels").map((name) => [
    basename(name, ".wasm"),
    gzipSync(readFileSync(`dist/kernels/${name}`), { level: 9 }).toString("base64"),
  ]);
  const script = worker ? readFileSync(`dist/${worker}.js`, "utf8").replace(/\n\/\/# sourceMappingURL=.*/, "") : "";
  return {
    EMBEDDED_KERNELS: JSON.stringify(Object.fromEntries(builds)),
    EMBEDDED_WORKER: JSON.stringify(script),
    EMBEDDED_WORLD: JSON.stringify(readFileSync("weights/world.vocab", "base64")),
  };
}

const OUTPUT: OutputOptions = {
  dir: "dist",
  format: "esm",
  minify: true,
  sourcemap: true,
  chunkFileNames: "[name]-[hash].js",
  keepNames: true,
};

/** The modules that an entry imports, directly or through others, without those it loads later. */
function reached(chunks: OutputChunk[], entry: string): Set<string> {
  const files = new Set([`${entry}.js`]);
  const modules = new Set<string>();
  for (const file of files) {
    const chunk = chunks.find(({ fileName }) => fileName === file);
    for (const id of chunk?.moduleIds ?? []) modules.add(id);
    for (const imported of chunk?.imports ?? []) files.add(imported);
  }
  return modules;
}

/** Writes one bundle into dist/. Returns the names of its files. */
async function write({ library, classic, ...input }: Bundle): Promise<string[]> {
  const bundle = await rolldown({ ...input, logLevel: "warn" });
  try {
    let codeSplitting: OutputOptions["codeSplitting"] = false;
    if (library) {
      const { output } = await bundle.generate(OUTPUT);
      const chunks = output.filter((file) => file.type === "chunk");
      const core = reached(chunks, library);
      codeSplitting = { groups: [{ name: "core", test: (id) => core.has(id) }] };
    }
    const { output } = await bundle.write({ ...OUTPUT, ...(classic && { format: "iife" }), codeSplitting });
    return output.map(({ fileName }) => fileName);
  } finally {
    await bundle.close();
  }
}

/** Bundles all entries into dist/ and removes what earlier builds left there. */
export async function bundle(): Promise<void> {
  const written = new Set<string>();
  for (const bundles of [() => WORKERS, entries, inline])
    for (const one of bundles()) for (const name of await write(one)) written.add(name);
  chmodSync("dist/cli.js", 0o755);
  for (const name of readdirSync("dist")) {
    if (/\.js(\.map)?$/.test(name) && !written.has(name)) rmSync(join("dist", name));
  }
}
