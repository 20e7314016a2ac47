/**
 * The numbers on which TypeScript and WebAssembly agree: operations, fields of their records, layouts in memory.
 * Compiled by both, so it holds nothing but untyped constants; there is no second copy to keep in step.
 */

/** Raised whenever the interface between the two sides changes: exports, records, layouts. */
export const ABI = 6;
/** Raised whenever the bits of any result change. Saved states carry it. */
export const NUMERICS = 1;

// --- A program is a header, then records of 16 u32, ended by OP_END. ---------------------------------------------------
export const RECORD_BYTES = 64;
/** Header: addresses of the team and of the batch, and of rank 0's scratch; bytes from one rank's scratch to the next. */
export const H_TEAM = 0;
export const H_BATCH = 4;
export const H_SCRATCH = 8;
export const H_SCRATCH_STRIDE = 12;
/** Which operation. */
export const F_OP = 0;
/** 1: every rank waits for the others after this record. */
export const F_FENCE = 4;
/** Address of the u32 that says how many rows (tokens) there are. */
export const F_ROWS = 8;
/** The operation's own fields; `program.ts` names them, one line per operation. */
export const F_ARGS = 12;

/**
 * A matrix of floats with fewer pieces per rank than this, not the same number for all, goes to the ranks by tokens if there are at least
 * as many per rank as MATMUL_TOKENS: then nobody waits for whoever has a piece more.
 */
export const MATMUL_FEW = 8;
export const MATMUL_TOKENS = 2;
/** Fields of OP_MATMUL that its weights are known by: their address and type, outputs and inputs. */
export const MATMUL_WEIGHTS = 2;
export const MATMUL_TYPE = 3;
export const MATMUL_OUTPUTS = 6;
export const MATMUL_INPUTS = 7;

export const OP_END = 0;
export const OP_EMBED = 1;
export const OP_NORM_MIX = 2;
export const OP_MATMUL = 3;
export const OP_QUANTIZE = 4;
export const OP_WKV7 = 5;
export const OP_KEEP = 6;
export const OP_GATHER_NORM = 7;
export const OP_WKV4 = 8;
export const OP_WKV6 = 9;
export const OP_LERP = 10;
/** Only in the builds of assembly/lab.ts. */
export const OP_ATTENTION = 11;

/** What OP_WKV6 has beyond version 5.0: a gate; a decay for every token. */
export const WKV6_GATE = 1;
export const WKV6_DECAY = 2;

/** What `run` answers. */
export const RUN_DONE = 0;
export const RUN_ABORTED = 1;
export const RUN_POISONED = 2;

// --- What a matmul does with its sums before the next record sees them. -----------------------------------------------
export const FINISH_STORE = 0;
export const FINISH_ADD = 1;
export const FINISH_RELU2 = 2;
export const FINISH_TANH = 3;
export const FINISH_SIGMOID = 4;
export const FINISH_SILU = 5;
/** Adds a vector. */
export const FINISH_BIAS = 6;
/** Multiplies by a gate, adds to what is there, multiplies that by a factor. */
export const FINISH_GATED = 7;

// --- What becomes of a vector's numbers x while loading. ---------------------------------------------------------------
export const FORM_X = 0;
export const FORM_EXP = 1;
export const FORM_MINUS_EXP = 2;
export const FORM_EXP_MINUS_EXP = 3;
export const FORM_ONE_MINUS = 4;

// --- Types of numbers: GGML's own ids. ---------------------------------------------------------------------------------
export const T_F32 = 0;
export const T_F16 = 1;
export const T_Q4_0 = 2;
export const T_Q4_1 = 3;
export const T_Q5_0 = 6;
export const T_Q5_1 = 7;
export const T_Q8_0 = 8;
export const T_Q2_K = 10;
export const T_Q3_K = 11;
export const T_Q4_K = 12;
export const T_Q5_K = 13;
export const T_Q6_K = 14;
export const T_IQ4_NL = 20;
export const T_IQ4_XS = 23;
export const T_BF16 = 30;
/** Ours, in memory only: symmetric, blocks of 32, codes -63..63 and an f32 scale. A number that GGML has given up. */
export const T_Q7_0 = 31;
/** Kinds of tiles: what a header holds for each row, in f32. See `blocks.ts`. */
export const TILE_SYMMETRIC = 1;
export const TILE_MINIMUM = 2;
export const TILE_HALVES = 4;
/** Which types have what, one bit for each: tiles with minimums; tiles in halves; codes of four bits, two to a byte; codes of a full 8 bits. */
export const TYPES_MINIMUM = (1 << T_Q4_1) | (1 << T_Q5_1) | (1 << T_Q4_K) | (1 << T_Q5_K);
export const TYPES_HALVES = (1 << T_Q2_K) | (1 << T_Q3_K) | (1 << T_Q6_K);
export const TYPES_NIBBLES = (1 << T_Q4_0) | (1 << T_Q4_1) | (1 << T_Q4_K);
export const TYPES_FULL = (1 << T_Q8_0) | (1 << T_IQ4_NL) | (1 << T_IQ4_XS);
/** Types that are not quantised. */
export const TYPES_FLOAT = (1 << T_F32) | (1 << T_F16) | (1 << T_BF16);
/** Bytes of 32 values of any quantised type taken apart; see `decode.ts`. */
export const UNIT_BYTES = 48;

// --- The batch: two counts, then a row per token, then an address per row whose logits are wanted. ---------------------
/** How many tokens go through the layers. */
export const BATCH_ROWS = 0;
/** How many rows of logits are wanted. */
export const BATCH_HEADS = 4;
/** First row. Rows of one session are neighbours, in the order of their tokens. */
export const BATCH_TABLE = 64;
export const ROW_BYTES = 16;
/** u32, the token's id. */
export const ROW_TOKEN = 0;
/** Address of the state slot that the session's first row here reads. */
export const ROW_FROM = 4;
/** Address of the state slot that the session's rows here write. */
export const ROW_TO = 8;
/** How many tokens the session has taken in before this one. */
export const ROW_POSITION = 12;

// --- The team: what the ranks share, each field in a cache line of its own. --------------------------------------------
/** Most ranks of a team. */
export const TEAM_RANKS = 64;
/** How many ranks have come to the barrier. */
export const TEAM_ARRIVED = 0;
/** Goes up by one when a barrier opens. */
export const TEAM_PHASE = 64;
/** How many ranks sleep on PHASE. */
export const TEAM_SLEEPERS = 128;
/** Set by the host: stop at the next barrier. */
export const TEAM_ABORT = 192;
/** Set by whoever finds that a partner died: everybody leaves. */
export const TEAM_POISON = 256;
/** The ABORT flag as the barrier's last rank saw it, so that all ranks read the same. */
export const TEAM_VERDICT = 320;
/** How often a rank waited at the barrier for so long that another must have lost its core. */
export const TEAM_NAPS = 384;
/** Here and CALL_BYTES further for each rank: by what it is called. */
export const TEAM_CALLS = 448;
export const CALL_BYTES = 64;
/** The program. */
export const CALL_PROGRAM = 0;
/** How many ranks run it. */
export const CALL_RANKS = 4;
/** Goes up by one when there is a program for this rank to run. */
export const CALL_EPOCH = 8;
/** 1 while the rank sleeps on EPOCH. */
export const CALL_IDLE = 12;
/** TEAM_CALLS + TEAM_RANKS * CALL_BYTES. */
export const TEAM_BYTES = 4544;

// --- Packed weights and quantised activations; see `blocks.ts`. --------------------------------------------------------
/** Rows of a matrix that are packed, computed and given to a rank as one piece; also the channels of a block. */
export const PIECE = 32;
/** Inputs under one scale. */
export const BLOCK = 32;
/** Most bytes of one block of activations, 32 values of one token, quantised. */
export const Q8_BLOCK = 112;
/** Bytes that a rank needs for itself, beyond PIECE f32 sums per token. */
export const SCRATCH_BYTES = 16384;

// --- Sampling: one area per running generation, zeros at first; f32 unless said. `sample_area.ts` lays it out. ---------
/** The fields below. */
export const SAMPLER_BYTES = 128;
/** 0 is greedy. */
export const SAMPLER_TEMPERATURE = 0;
/** 1 is off. */
export const SAMPLER_TOP_P = 4;
/** u32, 0 is off. */
export const SAMPLER_TOP_K = 8;
/** Divides positive and multiplies negative logits of tokens seen before; 1 is off. */
export const SAMPLER_REPETITION = 12;
/** Subtracted from the logits of tokens seen before. */
export const SAMPLER_PRESENCE = 16;
/** Subtracted per (decayed) occurrence. */
export const SAMPLER_FREQUENCY = 20;
/** What is left of an occurrence after one more token. */
export const SAMPLER_DECAY = 24;
/** u32 of bits: which arrays of the area are in use. */
export const SAMPLER_FLAGS = 28;
/** u64, two words. */
export const SAMPLER_SEED = 32;
/** u32, counts the draws. Whoever calls `sample` sets it. */
export const SAMPLER_STEP = 40;
/** Of these, 0 is off. */
export const SAMPLER_MIN_P = 44;
export const SAMPLER_TYPICAL_P = 48;
export const SAMPLER_TOP_N_SIGMA = 52;
export const SAMPLER_XTC_PROBABILITY = 56;
export const SAMPLER_XTC_THRESHOLD = 60;
/** How far the temperature goes down and up with the entropy, and the power of the entropy. */
export const SAMPLER_DYNAMIC_RANGE = 64;
export const SAMPLER_DYNAMIC_EXPONENT = 68;
/** Surprise to aim at, in bits, 0 is off; the rate of learning; the largest surprise allowed just now, 2 tau at first. */
export const SAMPLER_TAU = 72;
export const SAMPLER_ETA = 76;
export const SAMPLER_MU = 80;
/** u32: 1 + the token that `sample` answered last, until `accept` took it; its surprise in bits. With mirostat only. */
export const SAMPLER_DRAWN = 84;
export const SAMPLER_SURPRISE = 88;
/** DRY: multiplier, base, then u32: the longest repetition that costs nothing less one, and how many tokens to look back. */
export const SAMPLER_DRY_MULTIPLIER = 92;
export const SAMPLER_DRY_BASE = 96;
export const SAMPLER_DRY_ALLOWED = 100;
export const SAMPLER_DRY_RANGE = 104;
/** u32: how many tokens were accepted. */
export const SAMPLER_SEEN = 108;

/** Bits of SAMPLER_FLAGS: repetition, presence and frequency penalties over the counts; added numbers; the mask; DRY over the history. */
export const SAMPLER_PENALTIES = 1;
export const SAMPLER_BIAS = 2;
export const SAMPLER_MASK = 4;
export const SAMPLER_DRY = 8;

/** How many tokens the history holds, a power of two. */
export const SAMPLER_HISTORY = 4096;

/** What `sample` answers instead of a token: logits that are not numbers; nothing that mask and bans allow. */
export const SAMPLE_NAN = -1;
export const SAMPLE_NOTHING = -2;
