/** The options that say which model to load, and how, for every command that runs one. */

import type { LoadOptions, Model } from "../index.ts";
import { type Arg, type Given, numberOf, type Range, rangeText, UsageError } from "./arguments.ts";
import { SHIPPED, shipped } from "./shipped.ts";
import { Progress, warn } from "./terminal.ts";

type WeightType = NonNullable<LoadOptions["weights"]>;
/** What weights can be converted to. */
export const TYPES = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q7_0",
  "q5_1",
  "q5_0",
  "q4_1",
  "q4_0",
  "q4_mix",
] satisfies WeightType[];
/** Numbers of a LoRA, by the option that gives them. */
export const LORA: Readonly<Record<"lora-alpha" | "lora-strength", Range>> = {
  "lora-alpha": { low: 0, above: true, high: 1e6 },
  "lora-strength": { low: -100, high: 100 },
};
export const THREADS: Range = { low: 0, high: 64, integer: true };

export const weightsArg: Arg = {
  type: "string",
  valueHint: "type",
  description: `Convert the large matrices while loading: ${TYPES.join(", ")}`,
};

export const modelArgs: Readonly<Record<string, Arg>> = {
  model: {
    type: "string",
    valueHint: "model",
    description: `A file, a folder, an address, or hf:owner/repo/file (default: ${SHIPPED}, which comes with the package)`,
  },
  threads: {
    type: "string",
    valueHint: "n",
    default: "auto",
    description: "auto, or how many compute: an integer from 0 to 64; 0 is the main thread",
  },
  weights: weightsArg,
  lora: {
    type: "string",
    valueHint: "file",
    description: "Merge this LoRA into the model: .pth or safetensors, as RWKV-PEFT writes them",
  },
  "lora-alpha": {
    type: "string",
    valueHint: "n",
    description: `The alpha it was trained with: ${rangeText(LORA["lora-alpha"])} (default: its rank)`,
  },
  "lora-strength": {
    type: "string",
    valueHint: "n",
    description: `How much of it counts: ${rangeText(LORA["lora-strength"])} (default: 1)`,
  },
};

/** What `modelArgs` were given, checked: so that a mistake is told before anything else happens. Throws `UsageError`. */
export function modelOptions(command: string, { values }: Given): LoadOptions {
  return {
    threads: threadsOf(values.threads!, command),
    weights: weightsOf(command, values.weights),
    lora: loraOf(command, values),
  };
}

/** Loads the model, or the one that comes with the package, and shows how far it has come. */
export async function loadModel(where: string | undefined, options: LoadOptions, signal: AbortSignal): Promise<Model> {
  const { load } = await import("../index.ts");
  const progress = new Progress("Loading");
  const warnings: string[] = [];
  const onWarning = (warning: string) => void warnings.push(warning);
  const loading = load(where ?? shipped(), { ...options, signal, onProgress: progress.update, onWarning });
  const model = await loading.finally(() => progress.end());
  for (const warning of warnings) warn(warning);
  return model;
}

export function threadsOf(text: string, command: string): number | "auto" {
  if (text === "auto") return text;
  if (/^\d+$/.test(text) && Number(text) <= THREADS.high) return Number(text);
  throw new UsageError(`--threads must be auto or ${rangeText(THREADS)}, not "${text}"`, command);
}

export function weightsOf(command: string, text: string | undefined): WeightType | undefined {
  const type = TYPES.find((one) => one === text);
  if (text === undefined || type) return type;
  throw new UsageError(`--weights must be one of ${TYPES.join(", ")}, not "${text}"`, command);
}

function loraOf(command: string, values: Given["values"]): LoadOptions["lora"] {
  const [alpha, strength] = (["lora-alpha", "lora-strength"] as const).map((option) => {
    const text = values[option];
    if (text !== undefined && values.lora === undefined) throw new UsageError(`--${option} needs --lora`, command);
    return text === undefined ? undefined : numberOf(command, option, text, LORA[option]);
  });
  return values.lora === undefined ? undefined : { source: values.lora, alpha, strength };
}
