import { cpSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

await build({
  entryPoints: ["src/main.js"],
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  loader: { ".gguf": "file" },
});
// esbuild leaves the addresses of workers and kernels as they are, relative to what it writes: so they have to be there.
const kernels = dirname(fileURLToPath(import.meta.resolve("rwkv-wasm/kernels/plain.wasm")));
cpSync(kernels, "dist/kernels", { recursive: true });
cpSync(`${kernels}/../worker.js`, "dist/worker.js");
cpSync("index.html", "dist/index.html");
