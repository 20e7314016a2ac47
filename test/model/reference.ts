/**
 * RWKV-7 in float64, one plain loop per formula of the paper (arXiv 2503.14456): what the engine is compared with where no
 * numbers from elsewhere exist. It reads the same files through the same readers, and shares nothing else with the engine.
 */
import { bytesSource } from "../../src/bytes/source.ts";
import type { TensorInfo } from "../../src/types.ts";
import { openWeights } from "../../src/weights/open.ts";
import { decode, F16, quantizeActivations } from "../kernels/reference.ts";

type Vector = Float64Array<ArrayBuffer>;

interface Matrix {
  rows: number;
  columns: number;
  numbers: Vector;
  /** Whether its inputs are quantised. */
  integer: boolean;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const sum = (x: Iterable<number>) => {
  let total = 0;
  for (const n of x) total += n;
  return total;
};

/** A tensor's numbers: f32, f16 or q8_0. */
async function numbersOf({ source, offset, bytes, dtype }: TensorInfo): Promise<Vector> {
  const view = new DataView((await source.read(offset, bytes)).buffer);
  if (dtype === "f32") return Float64Array.from({ length: bytes / 4 }, (_, i) => view.getFloat32(i * 4, true));
  if (dtype === "f16")
    return Float64Array.from({ length: bytes / 2 }, (_, i) => decode(F16, view.getUint16(i * 2, true)));
  if (dtype !== "q8_0") throw new Error(`the reference knows no ${dtype}`);
  return Float64Array.from({ length: (bytes / 34) * 32 }, (_, i) => {
    const block = Math.floor(i / 32) * 34;
    return decode(F16, view.getUint16(block, true)) * view.getInt8(block + 2 + (i % 32));
  });
}

/** What `s = max|x| / 127` and 8-bit codes leave of the inputs, per 32 of them. */
function rounded(x: Vector): Vector {
  const out = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += 32) {
    const { scale, codes } = quantizeActivations(Float32Array.from(x.subarray(at, at + 32)));
    codes.forEach((code, i) => {
      if (at + i < out.length) out[at + i] = scale * code;
    });
  }
  return out;
}

function multiply({ rows, columns, numbers, integer }: Matrix, input: Vector): Vector {
  const x = integer ? rounded(input) : input;
  const out = new Float64Array(rows);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[r] += numbers[r * columns + c] * x[c];
  return out;
}

function normed(x: Vector, weight: Vector, bias: Vector, eps: number): Vector {
  const mean = sum(x) / x.length;
  const variance = sum(x.map((n) => (n - mean) ** 2)) / x.length;
  return x.map((n, i) => ((n - mean) / Math.sqrt(variance + eps)) * weight[i] + bias[i]);
}

/** The logits after each token. `activations`: whether matrices in q8_0 see their inputs in 8 bits, as the engine's do. */
export async function reference(
  file: Uint8Array,
  tokens: readonly number[],
  { activations }: { activations: "quantised" | "exact" },
): Promise<Vector[]> {
  const { tensors } = await openWeights(bytesSource("the file", file));
  const held = new Map<string, { numbers: Vector; info: TensorInfo }>();
  for (const [name, info] of tensors) held.set(name, { numbers: await numbersOf(info), info });
  const vector = (name: string) => held.get(name)!.numbers;
  const matrix = (name: string): Matrix => {
    const { numbers, info } = held.get(name)!;
    const [rows, columns] = info.shape;
    return { rows, columns, numbers, integer: activations === "quantised" && info.dtype === "q8_0" };
  };
  const { rows: V, columns: C, numbers: table } = matrix("emb.weight");
  const layers = Array.from(tensors.keys()).filter((name) => name.endsWith(".ln1.weight")).length;
  const N = 64;
  const zeros = () => new Float64Array(C);
  const states = Array.from({ length: layers }, () => ({ att: zeros(), ffn: zeros(), S: new Float64Array(C * N) }));

  const step = (token: number): Vector => {
    let x = table.slice(token * C, (token + 1) * C);
    x = normed(x, vector("blocks.0.ln0.weight"), vector("blocks.0.ln0.bias"), 1e-5);
    let first: Vector | undefined;
    states.forEach((state, layer) => {
      const name = (part: string) => `blocks.${layer}.${part}`;
      const att = (part: string) => vector(name(`att.${part}`));
      const times = (part: string, input: Vector) => multiply(matrix(name(part)), input);
      const norm = (part: string) => normed(x, vector(name(`${part}.weight`)), vector(name(`${part}.bias`)), 1e-5);

      const before = state.att;
      const now = norm("ln1");
      state.att = now;
      const mixed = (mu: Vector) => now.map((n, i) => n + (before[i] - n) * mu[i]);
      const low = (letter: string, act: (x: number) => number) =>
        times(`att.${letter}2`, times(`att.${letter}1`, mixed(att(`x_${letter}`))).map(act));
      const r = times("att.receptance.weight", mixed(att("x_r")));
      const k = times("att.key.weight", mixed(att("x_k")));
      let v = times("att.value.weight", mixed(att("x_v")));
      const w = low("w", Math.tanh).map((n, i) => Math.exp(-Math.exp(-0.5) * sigmoid(att("w0")[i] + n)));
      const a = low("a", (n) => n).map((n, i) => sigmoid(att("a0")[i] + n));
      const g = low("g", sigmoid);
      if (first) {
        const mix = low("v", (n) => n).map((n, i) => sigmoid(att("v0")[i] + n));
        v = v.map((n, i) => n + (first![i] - n) * mix[i]);
      } else first = v;
      const kk = k.map((n, i) => n * att("k_k")[i]);
      const key = k.map((n, i) => n * (1 + (a[i] - 1) * att("k_a")[i]));
      const y = zeros();
      for (let h = 0; h < C / N; h++) {
        const [from, to] = [h * N, (h + 1) * N];
        const length = Math.max(Math.hypot(...kk.subarray(from, to)), 1e-12);
        const unit = kk.subarray(from, to).map((n) => n / length);
        for (let i = 0; i < N; i++) {
          const row = state.S.subarray((from + i) * N, (from + i + 1) * N);
          const removed = -sum(row.map((s, j) => s * unit[j]));
          for (let j = 0; j < N; j++) {
            row[j] = row[j] * w[from + j] + removed * unit[j] * a[from + j] + v[from + i] * key[from + j];
          }
          y[from + i] = sum(row.map((s, j) => s * r[from + j]));
        }
        const bonus = sum(r.subarray(from, to).map((n, j) => n * key[from + j] * att("r_k")[from + j]));
        const [weight, bias] = [att("ln_x.weight"), att("ln_x.bias")].map((one) => one.subarray(from, to));
        const out = normed(y.slice(from, to), weight, bias, 64e-5);
        for (let i = 0; i < N; i++) y[from + i] = (out[i] + bonus * v[from + i]) * g[from + i];
      }
      x = times("att.output.weight", y).map((n, i) => n + x[i]);

      const shift = state.ffn;
      const xx = norm("ln2");
      state.ffn = xx;
      const xk = xx.map((n, i) => n + (shift[i] - n) * vector(name("ffn.x_k"))[i]);
      const inner = times("ffn.key.weight", xk).map((n) => Math.max(0, n) ** 2);
      x = times("ffn.value.weight", inner).map((n, i) => n + x[i]);
    });
    const out = multiply(matrix("head.weight"), normed(x, vector("ln_out.weight"), vector("ln_out.bias"), 1e-5));
    return out.subarray(0, V);
  };
  return tokens.map(step);
}
