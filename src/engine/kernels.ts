/**
 * The boundary between TypeScript and WebAssembly: the one typed list of what the module exports, and the one place that
 * instantiates it. Addresses and sizes are bytes in the memory given, unsigned; `assembly/` says what each function does.
 */

import { instantiateSync } from "@assemblyscript/loader";
import { ABI, NUMERICS } from "../../assembly/ops.ts";
import { RwkvError } from "../errors.ts";
import { createMemory } from "./memory.ts";

/** The builds of one source: with or without threads (shared memory), with or without relaxed SIMD. All give the same bits. */
export type Build = "plain" | "relaxed" | "plain-threads" | "relaxed-threads";

export interface Kernels {
  abi(): number;
  numerics(): number;
  /** Bit 0: threads; bit 1: relaxed SIMD; bit 2: a dot product of bytes that is exact for 8-bit codes. */
  features(): number;

  // The engine
  run(program: number, rank: number, ranks: number): number;
  lead(program: number, ranks: number): number;
  follow(team: number, rank: number): void;
  poison(team: number): void;
  fence(team: number, ranks: number): number;

  // Loading
  convert(
    dst: number,
    dstType: number,
    src: number,
    srcType: number,
    rows: number,
    columns: number,
    scratch: number,
    searched?: boolean,
  ): void;
  scale(x: number, rows: number, columns: number, byColumns: number, byRows: number): void;
  stored_bytes(type: number, columns: number): number;
  not_finite(src: number, type: number, count: number): number;
  pack(dst: number, src: number, type: number, rows: number, columns: number, scratch: number): void;
  pack_transposed(
    dst: number,
    src: number,
    type: number,
    rows: number,
    columns: number,
    first: number,
    count: number,
  ): void;
  piece_bytes(type: number, columns: number): number;
  spread(dst: number, src: number, count: number, times: number, form: number): void;
  to_f32(dst: number, src: number, type: number, count: number, scratch: number): void;
  halve(at: number, count: number): number;
  merge(
    dst: number,
    stride: number,
    sums: number,
    count: number,
    n: number,
    strength: number,
    alpha: number,
    rank: number,
  ): void;

  // Sampling
  /** A token, or SAMPLE_NAN or SAMPLE_NOTHING. */
  sample(logits: number, vocab: number, area: number, work: number): number;
  accept(area: number, vocab: number, token: number): void;
  logprobs(logits: number, vocab: number, token: number, dst: number, top: number, work: number): void;
  argmax(scores: number, vocab: number): number;
  random(seed: bigint, step: number): number;
  /** Bytes of a generation's area, and of the room that `sample` and `logprobs` need. */
  sampler_bytes(vocab: number): number;
  sampler_work(vocab: number): number;
  /** Offsets within an area. */
  sampler_counts(vocab: number): number;
  sampler_bias(vocab: number): number;
  sampler_mask(vocab: number): number;
  sampler_breakers(vocab: number): number;
  sampler_history(vocab: number): number;

  // One by one, for tests and benchmarks
  matmul(
    type: number,
    out: number,
    weights: number,
    input: number,
    stride: number,
    inputs: number,
    n: number,
    scratch: number,
  ): void;
  quantize_q8(dst: number, src: number, stride: number, first: number, last: number, n: number): void;
  quantized_bytes(channels: number, n: number): number;
  finish(dst: number, stride: number, sums: number, count: number, n: number, how: number): void;
  finish_bias(dst: number, stride: number, sums: number, count: number, n: number, bias: number): void;
  finish_gated(dst: number, stride: number, sums: number, count: number, n: number, gate: number, factor: number): void;
  layer_norm(dst: number, x: number, weight: number, bias: number, count: number, eps: number): void;
  norm_mix(
    table: number,
    n: number,
    x: number,
    channels: number,
    weight: number,
    bias: number,
    eps: number,
    state: number,
    mu: number,
    mixes: number,
    dst: number,
    dstStride: number,
    q8: number,
    q8Stride: number,
    q8Mask: number,
    first: number,
    last: number,
  ): void;
  lerp(
    n: number,
    xx: number,
    dx: number,
    channels: number,
    mu: number,
    mixes: number,
    m: number,
    mStride: number,
    dst: number,
    dstStride: number,
    first: number,
    last: number,
  ): void;
  wkv4(
    table: number,
    n: number,
    acts: number,
    actStride: number,
    params: number,
    channels: number,
    aa: number,
    bb: number,
    pp: number,
    out: number,
    first: number,
    last: number,
  ): void;
  wkv6(
    table: number,
    n: number,
    acts: number,
    actStride: number,
    params: number,
    channels: number,
    headSize: number,
    eps: number,
    state: number,
    parts: number,
    out: number,
    first: number,
    last: number,
    scratch: number,
  ): void;
  wkv7(
    table: number,
    n: number,
    acts: number,
    actStride: number,
    params: number,
    channels: number,
    headSize: number,
    eps: number,
    state: number,
    firstValues: number,
    isLayer0: number,
    out: number,
    first: number,
    last: number,
    scratch: number,
  ): void;
  exp4(dst: number, src: number, count: number): void;
  log4(dst: number, src: number, count: number): void;
  sigmoid4(dst: number, src: number, count: number): void;
  tanh4(dst: number, src: number, count: number): void;
  softplus4(dst: number, src: number, count: number): void;
}

/** Makes an instance over `memory` and checks that it is of this version. Throws `RwkvError` "engine". */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const { exports } = instantiateSync<Record<keyof Kernels, unknown>>(module, { env: { memory } });
  const kernels = exports as unknown as Kernels;
  if (typeof kernels.abi !== "function" || kernels.abi() !== ABI || kernels.numerics() !== NUMERICS) {
    throw new RwkvError(
      "engine",
      `The WebAssembly module is of another version: this one needs ABI ${ABI} and numerics ${NUMERICS}. Install both from one release.`,
    );
  }
  return kernels;
}

/** Makes an instance over a new memory of `bytes`, which is shared if the build wants that. Throws `RwkvError` "engine", "input". */
export function instantiateAlone(
  module: WebAssembly.Module,
  bytes: number,
): { kernels: Kernels; memory: WebAssembly.Memory } {
  let refusal: unknown;
  for (const shared of [false, true]) {
    const memory = createMemory(bytes, bytes, shared);
    try {
      return { kernels: instantiate(module, memory), memory };
    } catch (error) {
      if (error instanceof RwkvError) throw error;
      refusal = error;
    }
  }
  throw new RwkvError("input", `The WebAssembly module is none of rwkv-wasm's kernels: ${(refusal as Error).message}`, {
    cause: refusal,
  });
}
