// src/ → dist/*.js: each public entry becomes a file; what few need is loaded when it is needed, from files of its own (the budgets
// are in test/package/size.test.ts). Names are shortened; the source maps bring them back.
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type BuildOptions, build, type Plugin } from "esbuild";

const { dependencies, peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));

const LIBRARY = "src/index.ts";

/** The library with another file of src/platform/ in the place of node.ts. */
const on = (platform: string): Plugin => ({
  name: "platform",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/platform\/node\.ts$/ }, ({ importer }) =>
      importer === resolve(LIBRARY) ? { path: resolve(`src/platform/${platform}.ts`) } : undefined,
    ),
});

/** The experiments are a program of their own beside the command line: what they share with the library does not cut that into more files. */
const experiments: Plugin = {
  name: "experiments",
  setup: ({ onResolve }) => onResolve({ filter: /^\.\/lab\.ts$/ }, () => ({ path: "./lab.js", external: true })),
};

/** For Node, Deno and Bun. Packages that package.json lists as dependencies, optional ones too, stay imports; others are bundled in. */
const installed: BuildOptions = { platform: "node", external: Object.keys({ ...dependencies, ...peerDependencies }) };
/** For pages, also those without a bundler or an import map: everything is in the files, and Node's modules are an error. */
const page: BuildOptions = { platform: "browser" };

/** One file for each kind of worker, service workers included: import maps do not reach workers, and it is quicker to start. */
const WORKERS: BuildOptions[] = [
  { ...page, entryPoints: { worker: "src/platform/worker-web.ts" } },
  { platform: "node", entryPoints: { "worker.node": "src/platform/worker-node.ts" } },
  // A classic script, not a module.
  { ...page, entryPoints: { isolation: "src/platform/isolation.ts" }, format: "iife" },
];

const entries = (): BuildOptions[] => [
  { ...installed, entryPoints: { index: LIBRARY, cli: "src/cli/main.ts" }, splitting: true, plugins: [experiments] },
  { ...installed, entryPoints: { lab: "src/cli/lab.ts" }, splitting: true },
  { ...page, entryPoints: { web: LIBRARY }, splitting: true, plugins: [on("web")] },
  // workerd's own tools bundle what they deploy, and find kernels by their imports, which stay.
  {
    ...page,
    entryPoints: { workerd: LIBRARY },
    external: ["*.wasm"],
    plugins: [on("workerd")],
    define: embedded(),
  },
];

/** Programs in which everything is. They carry their workers' script, so that is made before them. */
const inline = (): BuildOptions[] => [
  {
    platform: "node",
    external: Object.keys(peerDependencies),
    entryPoints: { inline: LIBRARY },
    plugins: [on("inline-node")],
    define: embedded("worker.node"),
  },
  { ...page, entryPoints: { "inline.web": LIBRARY }, plugins: [on("inline-web")], define: embedded("worker") },
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

/** Writes one bundle into dist/. Returns the names of its files. */
async function write(options: BuildOptions): Promise<string[]> {
  const { metafile } = await build({
    outdir: "dist",
    chunkNames: "[name]-[hash]",
    format: "esm",
    target: "es2022",
    bundle: true,
    minify: true,
    sourcemap: true,
    metafile: true,
    logLevel: "warning",
    ...options,
  });
  return Object.keys(metafile!.outputs).map((path) => basename(path));
}

/** What is bundled into the command line, each with its licence, as these licences want it. */
function licences(): string {
  const texts = ["citty", "echarts", "zrender", "echarts/node_modules/tslib"].map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
      /^(licenses[\\/])?(LICENSE|NOTICE)[^\\/]*$/.test(file),
    );
    const parts = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim());
    return [`${basename(name)} ${version} (${license})`, ...parts].join("\n\n");
  });
  return `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

/** Bundles all entries into dist/ and removes what earlier builds left there. */
export async function bundle(): Promise<void> {
  const written = new Set<string>();
  for (const bundles of [() => WORKERS, entries, inline])
    for (const one of bundles()) for (const name of await write(one)) written.add(name);
  chmodSync("dist/cli.js", 0o755);
  writeFileSync("dist/licenses.txt", licences());
  for (const name of readdirSync("dist")) {
    if (/\.js(\.map)?$/.test(name) && !written.has(name)) rmSync(join("dist", name));
  }
}
