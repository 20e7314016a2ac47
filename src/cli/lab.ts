/** `rwkv lab`: experiments that show what RWKV can do and what it costs, each with a page in docs/lab/. */

import type { Group } from "./arguments.ts";

export const lab: Group = {
  meta: { name: "lab", description: "Experiments: what RWKV can do, and what it costs" },
  commands: {
    __proto__: null!,
    attention: async () => (await import("../lab/attention-command.ts")).attention,
    state: async () => (await import("../lab/state.ts")).state,
    fidelity: async () => (await import("../lab/fidelity.ts")).fidelity,
    context: async () => (await import("../lab/context.ts")).context,
    scaling: async () => (await import("../lab/scaling.ts")).scaling,
    sizes: async () => (await import("../lab/sizes.ts")).sizes,
  },
};
