/** What a file holds that fine-tuning left: how many matrices a LoRA changes, and by which ranks; the states of how many layers. */
import type { TensorFile } from "../types.ts";
import { ADAPTER, LORA_HALF, STATE } from "../weights/names-tuned.ts";

export interface TunedParts {
  /** A LoRA may hold states too. */
  readonly kind: "lora" | "state";
  /** Layers that it has parts for. */
  readonly layers: number;
  /** Matrices that have both halves of a change; their ranks, from the smallest up. */
  readonly matrices: number;
  readonly ranks: readonly number[];
  /** Layers with a tuned state, and its sizes: heads, head size, head size. */
  readonly states: number;
  readonly stateShape?: readonly number[];
  /** Whole tensors that take the place of a model's. */
  readonly whole: readonly string[];
}

/** `undefined` for what is no LoRA and no tuned state. */
export function tunedParts({ tensors }: TensorFile): TunedParts | undefined {
  const names = [...tensors.keys()];
  const changed = names.filter((name) => {
    const half = LORA_HALF.exec(name);
    return half?.[2] === "A" && tensors.has(`${half[1]}.lora_B`);
  });
  const states = names.filter((name) => STATE.test(name));
  const isLora = names.some((name) => LORA_HALF.test(name));
  if (!isLora && states.length === 0) return undefined;
  const layers = new Set(
    names.map((name) => /^blocks\.(\d+)\./.exec(name)?.[1]).filter((layer) => layer !== undefined),
  );
  const [state] = states;
  return {
    kind: isLora ? "lora" : "state",
    layers: layers.size,
    matrices: changed.length,
    ranks: [...new Set(changed.map((name) => tensors.get(name)!.shape[0]!))].sort((a, b) => a - b),
    states: states.length,
    ...(state !== undefined && { stateShape: tensors.get(state)!.shape }),
    whole: names.filter((name) => !LORA_HALF.test(name) && !STATE.test(name) && !ADAPTER.test(name)),
  };
}
