/**
 * What a LoRA does to a model: low-rank changes to large matrices, which the engine adds while it loads them, and whole tensors that
 * were trained along, such as norms, which take the place of the model's own.
 */

import { shown } from "../checks.ts";
import type { Merge } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile, TensorInfo } from "../types.ts";
import { ADAPTER, LORA_HALF, STATE } from "../weights/names-tuned.ts";

/** How much of a LoRA is merged. */
export interface LoraScale {
  /** The training's `lora_alpha`, which the file does not say: a change counts alpha / rank. Default: the rank, so that it counts once. */
  alpha?: number;
  /** Times this: 0 is the model as it was, 1 the change as it was trained. Default 1. */
  strength?: number;
}

/** What was merged. */
export interface LoraInfo {
  readonly name: string;
  /** As given; without, each matrix had its rank. */
  readonly alpha?: number;
  readonly strength: number;
  /** How many matrices were changed. */
  readonly matrices: number;
  /** Whole tensors that took the place of the model's. */
  readonly replaced: readonly string[];
  /** Tensors of the file that mean nothing here, or are no part of a LoRA. */
  readonly unknownTensors: readonly string[];
}

/** A model's file with what a LoRA replaces, and the changes to its matrices by their names. */
export interface Tuned {
  readonly file: TensorFile;
  readonly merges: ReadonlyMap<string, Merge>;
  readonly info: LoraInfo;
}

/** Most bytes of a matrix's half A as f32, which is in memory while the matrix is loaded. */
const MOST_BYTES = 32 << 20;
/** What files whose residual stream is halved every so many layers have scaled to match. */
const HALVED = /^blocks\.(\d+)\.(att\.output|ffn\.value)\.weight$/;

/** The large matrices of layers. */
const LARGE = /^blocks\.\d+\.(att|ffn)\.(receptance|key|value|gate|output)\.weight$/;

/** Checks the numbers. Throws `RwkvError` "input". */
export function checkScale({ alpha, strength = 1 }: LoraScale): void {
  const known = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
  if (alpha !== undefined && !(known(alpha) && alpha > 0 && alpha <= 1e6)) {
    throw new RwkvError("input", `lora.alpha must be a number above 0 to 1000000, not ${shown(alpha)}.`);
  }
  if (!(known(strength) && Math.abs(strength) <= 100)) {
    throw new RwkvError("input", `lora.strength must be a number from -100 to 100, not ${shown(strength)}.`);
  }
}

/**
 * What `lora` makes of `base`. `rescaleEvery`: the model's, see `Config`.
 *
 * Errors: `weights` when a half is missing or the two files do not fit together, naming tensor and shapes; `unsupported` for other
 * kinds of adapters.
 */
export function applyLora(base: TensorFile, lora: TensorFile, scale: LoraScale, rescaleEvery: number): Tuned {
  const { alpha, strength = 1 } = scale;
  const tensors = new Map(base.tensors);
  const merges = new Map<string, Merge>();
  const replaced: string[] = [];
  const unknown = [...lora.unknown];
  const halvings = (name: string): number => {
    const layer = HALVED.exec(name);
    return layer && rescaleEvery > 0 ? Math.floor(Number(layer[1]) / rescaleEvery) : 0;
  };
  for (const [name, tensor] of lora.tensors) {
    const half = LORA_HALF.exec(name);
    if (half && tensor.shape.length === 2) {
      const target = `${half[1]}.weight`;
      if (merges.has(target)) continue;
      const [a, b] = [`${half[1]}.lora_A`, `${half[1]}.lora_B`].map((part) => {
        const found = lora.tensors.get(part);
        if (!found) throw new RwkvError("weights", `${lora.name} holds ${name}, but lacks its other half ${part}.`);
        return found;
      }) as [TensorInfo, TensorInfo];
      const rank = fit(base, lora, target, a, b);
      merges.set(target, { a, b, rank, alpha: alpha ?? rank, strength, scaled: 2 ** -halvings(target) });
    } else if (STATE.test(name)) {
      unknown.push(tensor.fileName);
    } else if (ADAPTER.test(name)) {
      throw new RwkvError(
        "unsupported",
        `Tensor ${tensor.fileName} in ${lora.name} is no part of a LoRA as RWKV-PEFT writes it (lora_A, lora_B), and nothing else can be merged here. Merge it with the program that trained it.`,
      );
    } else {
      replace(base, lora, name, tensor);
      if (halvings(name) > 0) {
        throw new RwkvError(
          "unsupported",
          `${lora.name} replaces ${name}, which ${base.name} holds in another scale (rescale_every_n_layers). Take the model's original .pth.`,
        );
      }
      tensors.set(name, tensor);
      replaced.push(name);
    }
  }
  const whole = [...base.tensors.keys()].filter((name) => LARGE.test(name));
  if (whole.filter((name) => replaced.includes(name)).length * 2 > whole.length) {
    throw new RwkvError(
      "unsupported",
      `${lora.name} is a whole model and no LoRA: most matrices of ${base.name} would be replaced. Load it by itself.`,
    );
  }
  if (merges.size === 0 && replaced.length === 0) {
    throw new RwkvError(
      "weights",
      `${lora.name} holds nothing to merge, only ${unknown.slice(0, 3).join(", ")}. A tuned state is for model.initialState().`,
    );
  }
  return {
    file: { ...base, tensors },
    merges,
    info: {
      name: lora.name,
      ...(alpha !== undefined && { alpha }),
      strength,
      matrices: merges.size,
      replaced,
      unknownTensors: unknown,
    },
  };
}

const sizes = (tensor: TensorInfo): string => `[${tensor.shape.join(", ")}]`;
const product = (tensor: TensorInfo): number => tensor.shape.reduce((a, b) => a * b, 1);

function counterpart(base: TensorFile, lora: TensorFile, name: string, tensor: TensorInfo): TensorInfo {
  const found = base.tensors.get(name);
  if (found) return found;
  throw new RwkvError(
    "weights",
    `Tensor ${tensor.fileName} in ${lora.name} has no counterpart: ${base.name} has no ${name}. The LoRA was trained on another model.`,
  );
}

/** Checks a pair against the matrix that it changes; answers its rank. */
function fit(base: TensorFile, lora: TensorFile, target: string, a: TensorInfo, b: TensorInfo): number {
  const matrix = counterpart(base, lora, target, a);
  const [rank, inputs] = a.shape as [number, number];
  if (b.shape[1] !== rank || inputs !== matrix.shape[1] || b.shape[0] !== matrix.shape[0]) {
    throw new RwkvError(
      "weights",
      `Tensors ${a.fileName} ${sizes(a)} and ${b.fileName} ${sizes(b)} in ${lora.name} do not fit ${target} ${sizes(matrix)} of ${base.name}: they have to be [rank, ${matrix.shape[1]}] and [${matrix.shape[0]}, rank].`,
    );
  }
  for (const half of [a, b]) {
    if (half.transposed) {
      throw new RwkvError(
        "unsupported",
        `Tensor ${half.fileName} in ${lora.name} lies column by column; save a contiguous copy.`,
      );
    }
  }
  if (rank * inputs * 4 > MOST_BYTES) {
    throw new RwkvError(
      "unsupported",
      `Tensor ${a.fileName} ${sizes(a)} in ${lora.name} is larger than the ${MOST_BYTES >> 20} MiB that a LoRA's half may take; merge it with the program that trained it.`,
    );
  }
  return rank;
}

/** Checks a whole tensor against the one whose place it takes. Flat ones and ones by heads may stand for each other. */
function replace(base: TensorFile, lora: TensorFile, name: string, tensor: TensorInfo): void {
  const own = counterpart(base, lora, name, tensor);
  const flat = [own, tensor].some(({ shape }) => shape.length === 1);
  if (flat ? product(own) === product(tensor) : sizes(own) === sizes(tensor)) return;
  throw new RwkvError(
    "weights",
    `Tensor ${tensor.fileName} ${sizes(tensor)} in ${lora.name} cannot take the place of ${name} ${sizes(own)} in ${base.name}. The LoRA was trained on another model.`,
  );
}
