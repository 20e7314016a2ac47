/** The plan for a model's version. Each is loaded when it is needed. */

import type { Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import type { Config } from "./config.ts";
import type { Tensors } from "./tensors.ts";

export async function planOf(config: Config, tensors: Tensors, planner: Planner): Promise<EngineSpec> {
  switch (config.version) {
    case "7":
      return (await import("./rwkv7.ts")).planRwkv7(planner, tensors, config);
    case "6":
      return (await import("./rwkv6.ts")).planRwkv6(planner, tensors, config);
    case "4":
      return (await import("./rwkv4.ts")).planRwkv4(planner, tensors, config);
    default:
      return (await import("./rwkv5.ts")).planRwkv5(planner, tensors, config);
  }
}
