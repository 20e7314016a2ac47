import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import resolve from "@rollup/plugin-node-resolve";

const weights = fileURLToPath(import.meta.resolve("rwkv-wasm/weights/stories-7m.q8_0.gguf"));

export default {
  input: "src/main.js",
  output: { file: "dist/main.js", format: "es" },
  plugins: [
    resolve({ browser: true }),
    {
      name: "files",
      buildStart() {
        const files = { "index.html": "index.html", "stories-7m.q8_0.gguf": weights };
        for (const [fileName, path] of Object.entries(files))
          this.emitFile({ type: "asset", fileName, source: readFileSync(path) });
      },
    },
  ],
};
