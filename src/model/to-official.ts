/** A model as official checkpoints have it: BlinkDL's names and shapes, in safetensors. All versions can be written so. */
import { RwkvError } from "../errors.ts";
import type { TensorFile, TensorInfo } from "../types.ts";
import { DTYPES } from "../weights/dtype.ts";
import { officialNaming } from "../weights/names-official.ts";
import type { SafetensorsType } from "../weights/safetensors-write.ts";
import type { Config } from "./config.ts";
import { exactType, type Output, type Part } from "./pieces.ts";

/** Vectors that official checkpoints have as (1, 1, channels), to be multiplied with activations. */
const BROADCAST = /\.(time_mix_[kvrg]|time_maa_[xwkvrg]|x_[rwkvag]|[wav]0|k_[ka])$/;

/** What the epsilon of layer norms is where nothing says otherwise. */
const EPSILON = 1e-5;

/**
 * `used`: the tensors that the model's plan reads. `type`: what the large matrices become; everything else stays as it is.
 * What is quantised becomes f32, which loses nothing.
 *
 * Errors: `unsupported` for what official checkpoints cannot say.
 */
export function toOfficial(
  file: TensorFile,
  config: Config,
  used: ReadonlySet<string>,
  type?: SafetensorsType,
): (Output & { dtype: SafetensorsType })[] {
  if (Math.abs(config.normEps - EPSILON) > 1e-9)
    throw new RwkvError(
      "unsupported",
      `${file.name} cannot become safetensors with official names: its layer norms have an epsilon of ${Number(config.normEps.toPrecision(6))}, and such files mean ${EPSILON}`,
    );
  return [...file.tensors.values()]
    .filter(({ name }) => used.has(name))
    .map((tensor) => {
      const { name } = tensor;
      const { kind, transposed = false } = officialNaming(name)!;
      const isMatrix = kind === "matrix" || kind === "matrices";
      const factor = factorOf(config, name);
      const part: Part = {
        tensor,
        ...(factor !== 1 && { factor }),
        turned: isMatrix && transposed !== tensor.transposed,
      };
      const isLarge = kind === "matrix" && !transposed;
      const dtype = isLarge && type ? type : floatOf(part);
      return { name, shape: shapeOf(tensor, config, isMatrix, transposed), dtype, parts: [part] };
    });
}

function floatOf(part: Part): SafetensorsType {
  const exact = exactType(part);
  return DTYPES[exact].values === 1 ? (exact as SafetensorsType) : "f32";
}

/** Undoes the halving of the residual stream, for which some converters have scaled these matrices. */
function factorOf({ rescaleEvery }: Config, name: string): number {
  const [, layer] = /^blocks\.(\d+)\.(?:att\.output|ffn\.value)\.weight$/.exec(name) ?? [];
  return layer !== undefined && rescaleEvery > 0 ? 2 ** Math.floor(Number(layer) / rescaleEvery) : 1;
}

function shapeOf(
  { name, shape }: TensorInfo,
  config: Config,
  isMatrix: boolean,
  transposed: boolean,
): readonly number[] {
  if (isMatrix) return transposed ? [...shape.slice(0, -2), ...shape.slice(-2).toReversed()] : shape;
  const count = shape.reduce((a, b) => a * b, 1);
  if (BROADCAST.test(name) || (config.version === "6" && name.endsWith("time_decay"))) return [1, 1, count];
  const byHeads = /\.(time_decay|time_first|time_faaaa|r_k)$/.test(name) && config.heads > 0;
  return byHeads && count > config.heads ? [config.heads, config.headSize] : [count];
}
