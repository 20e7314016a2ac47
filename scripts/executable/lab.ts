/** In the place of src/cli/lab.ts: the experiments have kernels and charts of their own, which an executable does without. */

import type { Command } from "../../src/cli/arguments.ts";

export const lab: Command = {
  meta: { name: "lab", description: "Experiments: in the package rwkv-wasm only" },
  args: {},
  run: async () => {
    throw new Error("the experiments are in the package: npx -p rwkv-wasm rwkv lab");
  },
};
