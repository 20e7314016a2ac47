// What WebAssembly exports. Addresses are bytes in the one memory, `env.memory`, which the host lays out; nothing is allocated
// here. Kernels are exported one by one for their tests and benchmarks; the engine uses run, lead, follow, poison, the packing
// functions and the sampler.

import { DOT_8 } from "./dot";
import { ABI, NUMERICS } from "./ops";

export function abi(): i32 {
  return ABI;
}
export function numerics(): i32 {
  return NUMERICS;
}
/** Which build this is: bit 0 threads, bit 1 relaxed SIMD. Bit 2: and here it multiplies codes of a full 8 bits in 8-bit arithmetic. */
export function features(): i32 {
  return (ASC_FEATURE_THREADS ? 1 : 0) | (ASC_FEATURE_RELAXED_SIMD ? 2 : 0) | (DOT_8 >= 0 ? 4 : 0);
}

export { run, lead, follow, poison } from "./program";
export { matmul } from "./matmul";
export { piece_bytes } from "./tiles";
export { convert, scale, stored_bytes, not_finite } from "./convert";
export { pack, pack_transposed } from "./pack";
export { spread } from "./forms";
export { merge } from "./merge";
export { halve } from "./halve";
export { sample } from "./sample";
export { accept } from "./sample_accept";
export { logprobs } from "./sample_logprobs";
export { random } from "./sample_random";
export { argmax } from "./sample_weights";
export {
  sampler_bytes,
  sampler_counts,
  sampler_bias,
  sampler_mask,
  sampler_breakers,
  sampler_history,
} from "./sample_area";
export { sampler_work } from "./sample_work";
export { quantize_q8, quantized_bytes } from "./quantize";
export { to_f32 } from "./embed";
export { finish, finish_bias, finish_gated } from "./finish";
export { layer_norm } from "./norm";
export { lerp, norm_mix } from "./mix";
export { wkv4 } from "./wkv4";
export { wkv6 } from "./wkv6";
export { wkv7 } from "./wkv7";
export { fence } from "./team";
export { exp4, log4, sigmoid4, tanh4, softplus4 } from "./vectors";
