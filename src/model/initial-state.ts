/**
 * A tuned initial state: what state tuning leaves, one tensor for each layer, as the state of a session that has seen nothing yet.
 *
 * RWKV-PEFT and RWKV-LM train `time_state` [heads, value, key], in every version; their inference code, which keeps [heads, key, value] in
 * versions 5 and 6, transposes it when it loads one. So does this.
 */

import { Converter, type KernelModule, PIECE_NUMBERS } from "../engine/converter.ts";
import type { StatePart } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";
import type { TensorFile } from "../types.ts";
import { STATE } from "../weights/names-tuned.ts";

/** Numbers of all parts, one part after another. Other tensors of the file do not matter. Throws `RwkvError` "weights", "unsupported". */
export async function readInitialState(
  file: TensorFile,
  version: string,
  parts: readonly StatePart[],
  kernels: KernelModule,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const total = parts.reduce((sum, { shape }) => sum + count(shape), 0);
  const state = new Float32Array(total);
  const left = new Set([...file.tensors.keys()].filter((name) => STATE.test(name)));
  const converter = new Converter(kernels);
  const layers = parts.filter(({ name }) => name.endsWith(".att.S")).length;
  if (layers === 0) throw new RwkvError("unsupported", `RWKV-${version} has no state that could be tuned this way.`);
  if (left.size === 0) {
    throw new RwkvError(
      "weights",
      `${file.name} holds no tuned state: no tensor is named as blocks.0.att.time_state is.`,
    );
  }
  let at = 0;
  for (const { name, shape, fill } of parts) {
    const to = state.subarray(at, at + count(shape)).fill(fill);
    at += to.length;
    if (!name.endsWith(".att.S")) continue;
    const official = name.replace(/S$/, "time_state");
    const tensor = file.tensors.get(official);
    const wrong = (problem: string) => new RwkvError("weights", `${file.name} ${problem}`);
    if (!tensor) throw wrong(`lacks ${official}: the model has ${layers} layers, and each needs one.`);
    left.delete(official);
    if (tensor.shape.join() !== shape.join()) {
      throw wrong(
        `has ${tensor.fileName} of shape [${tensor.shape.join(", ")}]; the model's states are [${shape.join(", ")}].`,
      );
    }
    const width = tensor.bytes / to.length;
    for (let first = 0; first < to.length; first += PIECE_NUMBERS) {
      const numbers = Math.min(PIECE_NUMBERS, to.length - first);
      const piece = await tensor.source.read(tensor.offset + first * width, numbers * width, signal);
      const { bytes, finite } = converter.convert(piece, tensor.dtype, "f32", numbers);
      if (!finite.before) throw wrong(`holds an infinity or a NaN in ${tensor.fileName}: the training diverged.`);
      to.set(new Float32Array(bytes.slice().buffer), first);
    }
    if (version !== "7") turn(to, shape[1]!);
  }
  const [more] = left;
  if (more !== undefined) {
    throw new RwkvError(
      "weights",
      `${file.name} holds ${more}, but the model has ${layers} layers: the state was tuned for another model.`,
    );
  }
  return state;
}

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Transposes square matrices of `size` rows. */
function turn(matrices: Float32Array, size: number): void {
  for (let at = 0; at < matrices.length; at += size * size) {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [at + i * size + j, at + j * size + i];
        [matrices[a], matrices[b]] = [matrices[b]!, matrices[a]!];
      }
    }
  }
}
