/** In the place of src/cli/lab.ts: the experiments have kernels and charts of their own, which an executable does without. */

import type { Group } from "../../src/cli/arguments.ts";

const NAMES = ["attention", "state", "fidelity", "context", "scaling", "sizes"];

const absent = async (): Promise<never> => {
  throw new Error("the experiments are in the package, not in executables: npx -p rwkv-wasm rwkv lab");
};

export const lab: Group = {
  meta: { name: "lab", description: "Experiments: in the package rwkv-wasm only" },
  commands: { __proto__: null!, ...Object.fromEntries(NAMES.map((name) => [name, absent])) },
};
