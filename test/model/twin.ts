/** An outlier twin of the small story model: the same function, with a few channels and rows much larger than the rest, as in large models. */
import { Random } from "../kernels/random.ts";
import { decode, encode, F16 } from "../kernels/reference.ts";
import { edited, type Held } from "./edited.ts";

const READERS = /^time_mix_(receptance|key|value|[wavg]1)\.weight$/;

/** Log-normal factors, `out` of them `times` as large. */
function factors(random: Random, count: number, out: number, times: number): Float64Array {
  const all = Float64Array.from(random.bells(count, 0.5), Math.exp);
  for (let i = 0; i < out; i++) all[random.below(count)]! *= times;
  return all;
}

function multiply({ dtype, bytes, dims }: Held, by: (row: number, column: number) => number): void {
  const columns = Number(dims[0]);
  if (dtype === "f32") {
    const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    for (let i = 0; i < x.length; i++) x[i]! *= by(Math.floor(i / columns), i % columns);
  } else {
    const x = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    for (let i = 0; i < x.length; i++)
      x[i] = encode(F16, decode(F16, x[i]!) * by(Math.floor(i / columns), i % columns));
  }
}

export function twin(name: string, seed = 1): Promise<Uint8Array<ArrayBuffer>> {
  return edited(name, (tensors) => {
    const random = new Random(seed);
    for (let layer = 0; tensors.has(`blk.${layer}.channel_mix_key.weight`); layer++) {
      const own = (part: string) => tensors.get(`blk.${layer}.${part}`);
      const [inputs, inner] = own("channel_mix_key.weight")!.dims.map(Number) as [number, number];
      const [time, channel] = [0, 1].map(() => factors(random, inputs, 3, 15)) as [Float64Array, Float64Array];
      const rows = factors(random, inner, Math.ceil(inner / 200), 5.5);
      for (const part of ["weight", "bias"]) {
        multiply(own(`attn_norm.${part}`)!, (_, column) => time[column]!);
        multiply(own(`attn_norm_2.${part}`)!, (_, column) => channel[column]!);
      }
      for (const [name, tensor] of tensors)
        if (name.startsWith(`blk.${layer}.`) && READERS.test(name.slice(`blk.${layer}.`.length)))
          multiply(tensor, (_, column) => 1 / time[column]!);
      multiply(own("channel_mix_key.weight")!, (row, column) => rows[row]! / channel[column]!);
      multiply(own("channel_mix_value.weight")!, (_, column) => 1 / rows[column]! ** 2);
    }
  });
}
