// Test files made into one module each, for another kind of runtime.
import { build, type Plugin } from "esbuild";

/** Where `rwkv-wasm` is to a test: the module of that address; or, where nothing can be imported by an address, a global of these names. */
type Package = { address: string } | { names: readonly string[] };

function found(where: Package): Plugin {
  return {
    name: "rwkv-wasm",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^rwkv-wasm$/ }, () =>
        "address" in where ? { path: where.address, external: true } : { path: "rwkv-wasm", namespace: "global" },
      );
      onLoad({ filter: /.*/, namespace: "global" }, () => ({
        contents: "names" in where ? `export const { ${where.names.join(", ")} } = globalThis.package;` : "",
      }));
    },
  };
}

/** Bundles programs by the names of their modules. `runs`: how often properties are tried, if not as often as usual. */
export async function bundle(
  programs: Readonly<Record<string, string>>,
  outdir: string,
  where: Package,
  { runs }: { runs?: number } = {},
): Promise<void> {
  await build({
    entryPoints: programs,
    outdir,
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    sourcemap: true,
    logLevel: "warning",
    external: ["node:fs/promises"],
    ...(runs !== undefined && {
      define: { "globalThis.process": JSON.stringify({ env: { RWKV_TEST_RUNS: String(runs) } }) },
    }),
    plugins: [found(where)],
  });
}

/** The same for `test/NAME.test.ts`, as `outdir/NAME.js` with a dash between folders. */
export async function bundleTests(
  names: readonly string[],
  outdir: string,
  where: Package,
  options: { runs?: number } = {},
): Promise<void> {
  const programs = names.map((name) => [name.replaceAll("/", "-"), `test/${name}.test.ts`]);
  await bundle(Object.fromEntries(programs), outdir, where, options);
}
