/** What training programs leave, made up: LoRAs with whole tensors beside them, and tuned states; and what merging has to give. */
import { Random } from "../kernels/random.ts";
import { BF16, encode, F16 } from "../kernels/reference.ts";
import { type Official, officialTensors } from "../weights/official.ts";
import { type Entry, f32Bytes, pth, py, safetensors, torchTensor } from "../weights/writers.ts";

const f = Math.fround;

/** Types of numbers, by what `.pth` and safetensors call them. */
export type Kept = "Float" | "Half" | "BFloat16";
const CALLED = { Float: "F32", Half: "F16", BFloat16: "BF16" } as const;

/** A tensor, and in which type a file keeps it. */
export interface Part {
  name: string;
  shape: number[];
  /** Exact in that type. */
  values: Float32Array;
  kept: Kept;
}

export function bytesOf({ values, kept }: Pick<Part, "values" | "kept">): Uint8Array {
  if (kept === "Float") return f32Bytes(values);
  const format = kept === "Half" ? F16 : BF16;
  return new Uint8Array(Uint16Array.from(values, (x) => encode(format, x)).buffer);
}

/** Random numbers that are exact in every type. */
export function part(name: string, shape: number[], seed: number, scale = 1, kept: Kept = "Float"): Part {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = new Random(seed).bells(count).map((x) => (Math.round(x * 32) / 128) * scale);
  return { name, shape, values, kept };
}

/** The parts as torch.save writes them. */
export function pthOf(parts: readonly Part[]): Uint8Array<ArrayBuffer> {
  const tensors = parts.map(({ name, shape, values, kept }, i) => {
    const tensor = torchTensor({ storage: String(i), length: values.length, type: kept, sizes: shape });
    return [py.text(name), tensor] as [number[], number[]];
  });
  const storages = Object.fromEntries(parts.map((part, i) => [String(i), bytesOf(part)]));
  return pth(py.dict(...tensors), storages) as Uint8Array<ArrayBuffer>;
}

export function safetensorsOf(parts: readonly Part[]): Uint8Array<ArrayBuffer> {
  const entries = parts.map((part): Entry => ({ ...part, type: CALLED[part.kept], data: bytesOf(part) }));
  return safetensors(entries) as Uint8Array<ArrayBuffer>;
}

/** A LoRA for the matrices named, given their shapes. */
export function pairs(
  matrices: readonly Pick<Official, "name" | "shape">[],
  rank: number,
  kept: readonly [a: Kept, b: Kept] = ["Float", "Float"],
): Part[] {
  return matrices.flatMap(({ name, shape: [outputs, inputs] }, i) => {
    const prefix = name.replace(/\.weight$/, "");
    return [
      part(`${prefix}.lora_A`, [rank, inputs], 2 * i + 1, 0.25, kept[0]),
      part(`${prefix}.lora_B`, [outputs, rank], 2 * i + 2, 0.25, kept[1]),
    ];
  });
}

/** w + b a * (strength * (alpha / rank)), in the order and the roundings of docs/numerics.md. */
export function merged(w: Float32Array, a: Part, b: Part, strength = 1, alpha?: number): Float32Array {
  const [rank, inputs] = a.shape;
  const factor = f(f(strength) * f(f(alpha ?? rank) / rank));
  return w.map((own, i) => {
    const [row, column] = [Math.floor(i / inputs), i % inputs];
    let sum = 0;
    for (let j = 0; j < rank; j++) sum = f(sum + f(a.values[j * inputs + column] * b.values[row * rank + j]));
    return f(own + f(sum * factor));
  });
}

const LARGE = /^(blocks\.\d+\.(att|ffn)\.(receptance|key|value|gate|output)|head)\.weight$/;

/** A fixture's tensors, and which of them are its large matrices. */
export async function modelOf(version: string): Promise<{ tensors: Official[]; matrices: Official[] }> {
  const tensors = await officialTensors(version);
  return { tensors, matrices: tensors.filter(({ name }) => LARGE.test(name)) };
}

/** The model with a LoRA merged into it, as safetensors in f32. */
export function mergedFile(
  tensors: readonly Official[],
  lora: readonly Part[],
  strength?: number,
  alpha?: number,
): Uint8Array<ArrayBuffer> {
  const parts = new Map(lora.map((part) => [part.name, part]));
  return safetensorsOf(
    tensors.map(({ name, shape, values }): Part => {
      const prefix = name.replace(/\.weight$/, "");
      const [a, b] = ["A", "B"].map((half) => parts.get(`${prefix}.lora_${half}`));
      const own = parts.get(name)?.values ?? values;
      return { name, shape, values: a && b ? merged(own, a, b, strength, alpha) : own, kept: "Float" };
    }),
  );
}
