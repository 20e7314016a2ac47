// The interpreter: runs the records of a program, every rank its share of each. See `ops.ts` for the layout of a record.

import { attention } from "./attention";
import { blocks, pieces, row_bytes, share } from "./blocks";
import { to_f32 } from "./embed";
import { finish, finish_bias, finish_gated } from "./finish";
import { matmul } from "./matmul";
import { is_last, lerp, norm_mix } from "./mix";
import { layer_norm } from "./norm";
import {
  BATCH_TABLE,
  BLOCK,
  CALL_EPOCH,
  CALL_PROGRAM,
  CALL_RANKS,
  F_ARGS,
  F_FENCE,
  F_OP,
  F_ROWS,
  FINISH_BIAS,
  FINISH_GATED,
  H_BATCH,
  H_SCRATCH,
  H_SCRATCH_STRIDE,
  H_TEAM,
  MATMUL_FEW,
  MATMUL_TOKENS,
  OP_ATTENTION,
  OP_EMBED,
  OP_END,
  OP_GATHER_NORM,
  OP_KEEP,
  OP_LERP,
  OP_MATMUL,
  OP_NORM_MIX,
  OP_QUANTIZE,
  OP_WKV4,
  OP_WKV6,
  OP_WKV7,
  PIECE,
  RECORD_BYTES,
  ROW_BYTES,
  ROW_TO,
  ROW_TOKEN,
  RUN_DONE,
  SCRATCH_BYTES,
} from "./ops";
import { quantize_q8 } from "./quantize";
import { await_call, call, fence, line, poison } from "./team";
import { piece_bytes, tile_kind } from "./tiles";
import { wkv4 } from "./wkv4";
import { wkv6 } from "./wkv6";
import { wkv7 } from "./wkv7";

/** Argument i of a record. */
// @ts-ignore: decorator
@inline
function arg(record: usize, i: i32): u32 {
  return load<u32>(record + F_ARGS + (<usize>i << 2));
}

// @ts-ignore: decorator
@inline
function argf(record: usize, i: i32): f32 {
  return load<f32>(record + F_ARGS + (<usize>i << 2));
}

/** Runs a program as one of `ranks`; answers a RUN_* number. */
export function run(program: usize, rank: i32, ranks: i32): i32 {
  const team = load<u32>(program, H_TEAM);
  const table = load<u32>(program, H_BATCH) + BATCH_TABLE;
  const scratch = load<u32>(program, H_SCRATCH) + <u32>rank * load<u32>(program, H_SCRATCH_STRIDE);
  let r = program + RECORD_BYTES;
  for (let op = load<i32>(r, F_OP); op != OP_END; op = load<i32>(r, F_OP)) {
    const n = load<i32>(load<u32>(r, F_ROWS));
    if (n > 0) {
      if (op == OP_MATMUL) do_matmul(r, n, scratch, rank, ranks);
      else if (op == OP_NORM_MIX) do_norm_mix(r, n, table, rank, ranks);
      else if (op == OP_QUANTIZE) do_quantize(r, n, rank, ranks);
      else if (op == OP_WKV7) do_wkv7(r, n, table, scratch, rank, ranks);
      else if (op == OP_WKV6) do_wkv6(r, n, table, scratch, rank, ranks);
      else if (op == OP_WKV4) do_wkv4(r, n, table, rank, ranks);
      else if (op == OP_LERP) do_lerp(r, n, rank, ranks);
      else if (op == OP_EMBED) do_embed(r, n, table, scratch, rank, ranks);
      else if (op == OP_KEEP) do_keep(r, n, table, rank, ranks);
      else if (op == OP_GATHER_NORM) do_gather_norm(r, n, rank, ranks);
      else if (isDefined(LAB)) do_attention(r, n, table, rank, ranks);
      else unreachable();
    }
    if (load<u32>(r, F_FENCE)) {
      const stop = fence(team, ranks);
      if (stop) return stop;
    }
    r += RECORD_BYTES;
  }
  return RUN_DONE;
}

/** Rank 0 of a team: calls as many as are to run, and runs. */
export function lead(program: usize, ranks: i32): i32 {
  if (ranks > 1) call(load<u32>(program, H_TEAM), program, ranks);
  return run(program, 0, ranks);
}

/** Any other rank: runs whatever it is called to, until the team is poisoned. */
export function follow(team: usize, rank: i32): void {
  if (!ASC_FEATURE_THREADS) return;
  const at = line(team, rank);
  let epoch: i32 = 0;
  while (await_call(team, at, epoch)) {
    epoch = atomic.load<i32>(at, CALL_EPOCH);
    run(load<u32>(at, CALL_PROGRAM), rank, load<i32>(at, CALL_RANKS));
  }
}

export { poison };

// table, type, vocabulary, x, channels, bytes of a table row, ln0 weight (0: none), ln0 bias, eps
function do_embed(r: usize, n: i32, table: usize, scratch: usize, rank: i32, ranks: i32): void {
  const channels = <i32>arg(r, 4);
  const last = share(n, rank + 1, ranks);
  for (let t = share(n, rank, ranks); t < last; t++) {
    const token = load<u32>(table + <usize>t * ROW_BYTES, ROW_TOKEN);
    if (token >= arg(r, 2)) unreachable();
    const x = <usize>arg(r, 3) + <usize>t * row_bytes(channels);
    to_f32(x, <usize>arg(r, 0) + <usize>token * arg(r, 5), arg(r, 1), channels, scratch);
    if (arg(r, 6)) layer_norm(x, x, arg(r, 6), arg(r, 7), channels, argf(r, 8));
  }
}

// x, channels, ln weight, ln bias, eps, offset of the shift vector in a slot, mu, mixes, dst, dst stride, q8, q8 stride, q8 mask
function do_norm_mix(r: usize, n: i32, table: usize, rank: i32, ranks: i32): void {
  const total = blocks(arg(r, 1));
  norm_mix(
    table,
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    argf(r, 4),
    arg(r, 5),
    arg(r, 6),
    arg(r, 7),
    arg(r, 8),
    arg(r, 9),
    arg(r, 10),
    arg(r, 11),
    arg(r, 12),
    share(total, rank, ranks),
    share(total, rank + 1, ranks),
  );
}

// dst, dst stride, weights, type, input, input stride, outputs, inputs, finish, its bias or gate, its factor
function do_matmul(r: usize, n: i32, scratch: usize, rank: i32, ranks: i32): void {
  const type = <i32>arg(r, 3);
  let input = <usize>arg(r, 4);
  const stride = <usize>arg(r, 5);
  const outputs = <i32>arg(r, 6);
  const inputs = <i32>arg(r, 7);
  const size = piece_bytes(type, inputs);
  const dst_stride = <usize>arg(r, 1);
  const how = <i32>arg(r, 8);
  const total = pieces(outputs);
  const sums = scratch + SCRATCH_BYTES;
  let dst = <usize>arg(r, 0);
  let other = <usize>arg(r, 9);
  let p = share(total, rank, ranks);
  let last = share(total, rank + 1, ranks);
  if (!tile_kind(type) && total % ranks && total < MATMUL_FEW * ranks && n >= MATMUL_TOKENS * ranks) {
    const t = share(n, rank, ranks);
    n = share(n, rank + 1, ranks) - t;
    input += <usize>t * stride;
    dst += <usize>t * dst_stride;
    if (how == FINISH_GATED) other += <usize>t * dst_stride;
    p = 0;
    last = total;
  }
  let weights = <usize>arg(r, 2) + <usize>p * size;
  for (; p < last; p++) {
    matmul(type, sums, weights, input, stride, inputs, n, scratch);
    const first = p * PIECE;
    const at = <usize>first * 4;
    const count = min(PIECE, outputs - first);
    if (how == FINISH_GATED) finish_gated(dst + at, dst_stride, sums, count, n, other + at, argf(r, 10));
    else if (how == FINISH_BIAS) finish_bias(dst + at, dst_stride, sums, count, n, other + at);
    else finish(dst + at, dst_stride, sums, count, n, how);
    weights += size;
  }
}

// dst, src, src stride, channels, unit: the channels that ranks take at a time, a multiple of 32
function do_quantize(r: usize, n: i32, rank: i32, ranks: i32): void {
  const channels = <i32>arg(r, 3);
  const unit = <i32>arg(r, 4);
  const total = (channels + unit - 1) / unit;
  const per = unit / BLOCK;
  quantize_q8(
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    share(total, rank, ranks) * per,
    min(share(total, rank + 1, ranks) * per, blocks(channels)),
    n,
  );
}

// acts, act stride, params, channels, head size, eps, offset of S in a slot, first values, is layer 0, out
function do_wkv7(r: usize, n: i32, table: usize, scratch: usize, rank: i32, ranks: i32): void {
  const heads = <i32>(arg(r, 3) / arg(r, 4));
  wkv7(
    table,
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    arg(r, 4),
    argf(r, 5),
    arg(r, 6),
    arg(r, 7),
    arg(r, 8) != 0,
    arg(r, 9),
    share(heads, rank, ranks),
    share(heads, rank + 1, ranks),
    scratch,
  );
}

// acts, act stride, params, channels, head size, eps, offset of S in a slot, parts, out
function do_wkv6(r: usize, n: i32, table: usize, scratch: usize, rank: i32, ranks: i32): void {
  const heads = <i32>(arg(r, 3) / arg(r, 4));
  wkv6(
    table,
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    arg(r, 4),
    argf(r, 5),
    arg(r, 6),
    arg(r, 7),
    arg(r, 8),
    share(heads, rank, ranks),
    share(heads, rank + 1, ranks),
    scratch,
  );
}

// acts, act stride, params, channels, offsets of aa, bb, pp in a slot, out
function do_wkv4(r: usize, n: i32, table: usize, rank: i32, ranks: i32): void {
  const total = blocks(arg(r, 3));
  wkv4(
    table,
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    arg(r, 4),
    arg(r, 5),
    arg(r, 6),
    arg(r, 7),
    share(total, rank, ranks),
    share(total, rank + 1, ranks),
  );
}

// xx, dx, channels, mu, mixes, m, m stride, dst, dst stride
function do_lerp(r: usize, n: i32, rank: i32, ranks: i32): void {
  const total = blocks(arg(r, 2));
  lerp(
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    arg(r, 4),
    arg(r, 5),
    arg(r, 6),
    arg(r, 7),
    arg(r, 8),
    share(total, rank, ranks),
    share(total, rank + 1, ranks),
  );
}

// x, channels, offset of the kept vector in a slot
function do_keep(r: usize, n: i32, table: usize, rank: i32, ranks: i32): void {
  const bytes = row_bytes(arg(r, 1));
  const end = share(n, rank + 1, ranks);
  for (let t = share(n, rank, ranks); t < end; t++) {
    if (!is_last(table, t, n)) continue;
    memory.copy(
      <usize>load<u32>(table + <usize>t * ROW_BYTES, ROW_TO) + arg(r, 2),
      <usize>arg(r, 0) + <usize>t * bytes,
      bytes,
    );
  }
}

// list of addresses of the rows, channels, ln weight, ln bias, eps, dst
function do_gather_norm(r: usize, n: i32, rank: i32, ranks: i32): void {
  const channels = <i32>arg(r, 1);
  const end = share(n, rank + 1, ranks);
  for (let t = share(n, rank, ranks); t < end; t++) {
    const from = load<u32>(<usize>arg(r, 0) + (<usize>t << 2));
    layer_norm(<usize>arg(r, 5) + <usize>t * row_bytes(channels), from, arg(r, 2), arg(r, 3), channels, argf(r, 4));
  }
}

// q, stride from q to k to v, keys, values, positions, channels, head size, out, room of rank 0, bytes from one rank's room to the next
function do_attention(r: usize, n: i32, table: usize, rank: i32, ranks: i32): void {
  if (load<i32>(r, F_OP) != OP_ATTENTION) unreachable();
  const heads = <i32>(arg(r, 5) / arg(r, 6));
  attention(
    table,
    n,
    arg(r, 0),
    arg(r, 1),
    arg(r, 2),
    arg(r, 3),
    arg(r, 4),
    arg(r, 5),
    arg(r, 6),
    arg(r, 7),
    share(heads, rank, ranks),
    share(heads, rank + 1, ranks),
    <usize>arg(r, 8) + <usize>rank * arg(r, 9),
  );
}
