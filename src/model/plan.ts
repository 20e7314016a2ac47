/** The plan for a model's version. */

import type { Planner } from "../engine/planner.ts";
import type { EngineSpec } from "../engine/spec.ts";
import type { Config } from "./config.ts";
import { planRwkv4 } from "./rwkv4.ts";
import { planRwkv5 } from "./rwkv5.ts";
import { planRwkv6 } from "./rwkv6.ts";
import { planRwkv7 } from "./rwkv7.ts";
import type { Tensors } from "./tensors.ts";

export function planOf(config: Config, tensors: Tensors, planner: Planner): EngineSpec {
  const plans = {
    "4": planRwkv4,
    "5.0": planRwkv5,
    "5.1": planRwkv5,
    "5.2": planRwkv5,
    "6": planRwkv6,
    "7": planRwkv7,
  };
  return plans[config.version](planner, tensors, config);
}
