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
// Several tokens, in registers.
/** f32 multiply and add: kernels for f32, f16 and bf16. */
export const MULTIPLY_ADD = 1;
/** Products of 16-bit integers summed in pairs to 32 bits. */
export const DOT_16 = 2;
/** Dot products of bytes, in the way that is best here: see assembly/dot.ts. */
export const DOT_8 = 3;
/** The same for half bytes, of which more can be summed before they need 32 bits. */
export const DOT_4 = 4;
// One token: weights are read, taken apart and multiplied. `bytes` of weights, few enough for the nearest cache.
export const ONE_F32 = 5;
export const ONE_F16 = 6;
export const ONE_BF16 = 7;
/** Bytes that are widened to 16 bits. */
export const ONE_16 = 8;
export const ONE_8 = 9;
export const ONE_4 = 10;

/** Multiply-adds in one round of the loops in registers. */
export const MULTIPLY_ADD_MACS = 48;
export const DOT_16_MACS = 96;
export const DOT_8_MACS = 192;
/** Bytes that READ and the loops for one token take in one step: a job has a multiple of it for every rank. */
export const STEP = 128;
