import { copyFileSync } from "node:fs";

// webpack finds the package's workers and kernels by itself. Weights are files to be copied.
export default {
  mode: "production",
  entry: "./src/main.js",
  output: { module: true, filename: "main.js", clean: true },
  experiments: { outputModule: true },
  module: { rules: [{ test: /\.gguf$/, type: "asset/resource" }] },
  performance: false,
  plugins: [
    {
      apply: ({ hooks }) =>
        hooks.afterEmit.tap("page", ({ outputOptions }) =>
          copyFileSync("index.html", `${outputOptions.path}/index.html`),
        ),
    },
  ],
};
