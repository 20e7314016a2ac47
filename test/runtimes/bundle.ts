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

/**
 * Bundles `test/NAME.test.ts` into `outdir/NAME.js`, without the folders in NAME. `runs`: how often properties are tried, if not as often as usual.
 */
export async function bundleTests(
  names: readonly string[],
  outdir: string,
  where: Package,
  { platform = "browser", runs }: { platform?: "browser" | "node"; runs?: number } = {},
): Promise<void> {
  await build({
    entryPoints: names.map((name) => ({ in: `test/${name}.test.ts`, out: name.replaceAll("/", "-") })),
    outdir,
    bundle: true,
    platform,
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
