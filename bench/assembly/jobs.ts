/** The numbers on which bench/lib/limits.ts and limits.ts beside this file agree. Compiled by both TypeScript and AssemblyScript. */

/** A job: the team's address, what to do, on which bytes, how often. After 64 bytes, a cache line per rank for its result. */
export const J_TEAM = 0;
export const J_KIND = 4;
export const J_ADDRESS = 8;
export const J_BYTES = 12;
export const J_ROUNDS = 16;
/** 16 bytes that the arithmetic multiplies by. */
export const J_FACTOR = 32;
export const J_RESULTS = 64;

/** Read `bytes`, the ranks sharing them, and do nothing else. */
export const READ = 0;
// The arithmetic of the kernels' innermost loops; every rank does all rounds.
/** f32 multiply and add, in registers: kernels for f32, and for f16 and bf16 with several tokens. */
export const MULTIPLY_ADD = 1;
/** Products of 16-bit integers summed in pairs to 32 bits, in registers: q8_0 with several tokens. */
export const DOT = 2;
// One token: every weight is widened for it. `bytes` of weights, few enough for the nearest cache.
export const WIDEN_F16 = 3;
export const WIDEN_BF16 = 4;
export const WIDEN_Q8_0 = 5;

/** Multiply-adds in one round of the loops in registers. */
export const MULTIPLY_ADD_MACS = 48;
export const DOT_MACS = 96;
/** Bytes that READ and the WIDEN loops take in one step: a job has a multiple of it for every rank. */
export const STEP = 128;
