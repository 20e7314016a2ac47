/** Random checkpoints of versions 4 to 6 in any size, with official names and shapes, and as files that need no container. */
import { bytesSource } from "../../src/bytes/source.ts";
import type { Form, TensorFile, TensorInfo } from "../../src/types.ts";
import { Random } from "../kernels/random.ts";
import type { Weights } from "./oracle.ts";

export interface Sizes {
  version: "4" | "5.0" | "5.1" | "5.2" | "6";
  layers?: number;
  /** Channels of a head, and heads; version 4 has their product. */
  size: number;
  heads: number;
  ffn: number;
  vocab: number;
  /** Of version 6's low-rank maps: for the mixes, for the decay. */
  ranks?: [number, number];
  /** What some checkpoints lack or carry. */
  ln0?: boolean;
  head?: "own" | "tied";
  headBias?: boolean;
}

export function checkpoint(sizes: Sizes, seed = 1): Weights {
  const { version, layers = 2, size: N, heads: H, ffn: F, vocab: V, ranks: [mixRank, decayRank] = [32, 64] } = sizes;
  const C = N * H;
  const random = new Random(seed);
  const weights: Weights = new Map();
  const put = (name: string, shape: number[], scale: number, mean = 0) => {
    const count = shape.reduce((a, b) => a * b, 1);
    weights.set(name, { shape, numbers: random.bells(count, scale).map((x) => x + mean) });
  };
  const uniform = (name: string, shape: number[], low: number, high: number) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const numbers = Float32Array.from({ length: count }, () => low + ((high - low) * random.below(1e6)) / 1e6);
    weights.set(name, { shape, numbers });
  };
  const matrix = (name: string, outputs: number, inputs: number, gain = 1) =>
    put(name, [outputs, inputs], gain / Math.sqrt(inputs));
  const norm = (name: string, count = C) => {
    put(`${name}.weight`, [count], 0.2, 1);
    put(`${name}.bias`, [count], 0.1);
  };

  // As a head it gives logits of the size that a head of its own does.
  put("emb.weight", [V, C], sizes.head === "tied" ? 2 / Math.sqrt(C) : 0.5);
  for (let i = 0; i < layers; i++) {
    const att = `blocks.${i}.att.`;
    const ffn = `blocks.${i}.ffn.`;
    if (i === 0 && sizes.ln0 !== false) norm("blocks.0.ln0");
    norm(`blocks.${i}.ln1`);
    norm(`blocks.${i}.ln2`);
    const gated = !["4", "5.0"].includes(version);
    for (const name of ["receptance", "key", "value", "output"]) matrix(`${att}${name}.weight`, C, C);
    if (gated) matrix(`${att}gate.weight`, C, C);
    if (version !== "4") norm(`${att}ln_x`);
    if (version === "6") {
      for (const c of "xwkvrg") uniform(`${att}time_maa_${c}`, [1, 1, C], 0, 1);
      for (const c of "kr") uniform(`${ffn}time_maa_${c}`, [1, 1, C], 0, 1);
      put(`${att}time_maa_w1`, [C, 5 * mixRank], 1 / Math.sqrt(C));
      put(`${att}time_maa_w2`, [5, mixRank, C], 0.1);
      put(`${att}time_decay_w1`, [C, decayRank], 1 / Math.sqrt(C));
      put(`${att}time_decay_w2`, [decayRank, C], 0.3);
      uniform(`${att}time_decay`, [1, 1, C], -5, 0);
    } else {
      for (const c of gated ? "kvrg" : "kvr") uniform(`${att}time_mix_${c}`, [1, 1, C], 0, 1);
      for (const c of "kr") uniform(`${ffn}time_mix_${c}`, [1, 1, C], 0, 1);
      uniform(
        `${att}time_decay`,
        version === "4" ? [C] : version === "5.2" ? [H, N] : [H],
        -5,
        version === "4" ? 1 : 0,
      );
    }
    if (version === "4") put(`${att}time_first`, [C], 1);
    else if (version === "5.0" || version === "5.1") put(`${att}time_first`, [H], 0.5);
    else put(`${att}time_faaaa`, [H, N], 0.5);
    matrix(`${ffn}key.weight`, F, C);
    matrix(`${ffn}value.weight`, C, F);
    matrix(`${ffn}receptance.weight`, C, C);
  }
  norm("ln_out");
  if (sizes.head !== "tied") matrix("head.weight", V, C, 2);
  if (sizes.headBias) put("head.bias", [V], 1);
  return weights;
}

/** What official checkpoints hold as (inputs, outputs). */
const LOW = /(time_maa_w[12]|time_decay_w[12])$/;

export interface FileOptions {
  /** Low-rank matrices as (outputs, inputs), as some containers have them. */
  turned?: boolean;
  facts?: Iterable<[string, number | string]>;
  /** What a converter has done to the numbers of tensors whose names end so; the numbers are as given. */
  forms?: Record<string, Form>;
}

/** The weights as an opened file. */
export function fileOf(weights: Weights, { turned = false, facts = [], forms = {} }: FileOptions = {}): TensorFile {
  const total = [...weights.values()].reduce((bytes, { numbers }) => bytes + numbers.byteLength, 0);
  const bytes = new Uint8Array(total);
  const source = bytesSource("a checkpoint", bytes);
  const tensors = new Map<string, TensorInfo>();
  let offset = 0;
  for (const [name, tensor] of weights) {
    const low = LOW.test(name);
    const sizes = tensor.shape.length === 3 && !low ? tensor.shape.slice(2) : [...tensor.shape];
    let { numbers } = tensor;
    if (low) {
      const [inputs, outputs] = sizes.slice(-2);
      sizes.splice(-2, 2, outputs, inputs);
      if (turned) {
        numbers = numbers.map((_, i, all) => {
          const at = i % (inputs * outputs);
          return all[i - at + (at % inputs) * outputs + Math.floor(at / inputs)];
        });
      }
    }
    bytes.set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), offset);
    const form = Object.entries(forms).find(([end]) => name.endsWith(end))?.[1];
    tensors.set(name, {
      name,
      fileName: name,
      dtype: "f32",
      shape: sizes,
      transposed: low && !turned,
      ...(form && { form }),
      source,
      offset,
      bytes: numbers.byteLength,
    });
    offset += numbers.byteLength;
  }
  return {
    name: "a checkpoint",
    container: "safetensors",
    tensors,
    unknown: [],
    facts: new Map(facts),
    close: () => source.close(),
  };
}
