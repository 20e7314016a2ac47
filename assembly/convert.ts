// Between the ways a file stores numbers, row by row; the quantisers are GGML's, so that files agree with other programs.

import { blocks } from "./blocks";
import { block_bytes, block_finite, block_values } from "./decode";
import { to_f32 } from "./embed";
import { f32_to_bf16, f32_to_f16, sum4 } from "./lanes";
import { BLOCK, T_BF16, T_F16, T_F32, T_Q4_0, T_Q4_1, T_Q5_0, T_Q5_1, T_Q7_0, T_Q8_0 } from "./ops";

/** Bytes of one row in a file's layout; quantised types count whole blocks. */
export function stored_bytes(type: i32, columns: i32): usize {
  if (type == T_F32) return <usize>columns * 4;
  const values = block_values(type);
  if (values == 0) return <usize>columns * 2;
  return <usize>((columns + values - 1) / values) * <usize>block_bytes(type);
}

/**
 * dst, src: `rows` rows of `columns` numbers in the file layout of their types. A type converted to itself keeps its bits.
 * scratch: one row of f32, whole blocks, and 384 bytes. To f32, f16, bf16 and the quantised types that `from_f32` names.
 * searched: to q4_0 or q5_0 with the scale of each block searched for the least error: our own, which no other program has.
 */
export function convert(
  dst: usize,
  dst_type: i32,
  src: usize,
  src_type: i32,
  rows: i32,
  columns: i32,
  scratch: usize,
  searched: bool,
): void {
  const to = stored_bytes(dst_type, columns);
  const from = stored_bytes(src_type, columns);
  if (dst_type == src_type) {
    memory.copy(dst, src, <usize>rows * to);
    return;
  }
  const whole = <usize>blocks(columns) * (BLOCK * 4);
  for (let i = 0; i < rows; i++) {
    memory.fill(scratch, 0, whole);
    to_f32(scratch, src, src_type, columns, scratch + whole);
    if (searched) search_f32(dst, dst_type, scratch, columns);
    else from_f32(dst, dst_type, scratch, columns);
    dst += to;
    src += from;
  }
}

function from_f32(dst: usize, type: i32, src: usize, count: i32): void {
  if (type == T_F32) {
    memory.copy(dst, src, <usize>count * 4);
  } else if (type == T_F16) {
    for (let i: usize = 0; i < <usize>count; i++) store<u16>(dst + i * 2, f32_to_f16(load<f32>(src + i * 4)));
  } else if (type == T_BF16) {
    for (let i: usize = 0; i < <usize>count; i++) store<u16>(dst + i * 2, f32_to_bf16(load<f32>(src + i * 4)));
  } else {
    const bytes = <usize>block_bytes(type);
    for (let b = blocks(count); b > 0; b--) {
      if (type == T_Q8_0) quantize_q8_0(dst, src);
      else if (type == T_Q7_0) quantize_q7_0(dst, src);
      else if (type == T_Q4_0) quantize_signed(dst, src, 4);
      else if (type == T_Q5_0) quantize_signed(dst, src, 5);
      else if (type == T_Q4_1) quantize_minimum(dst, src, 4);
      else if (type == T_Q5_1) quantize_minimum(dst, src, 5);
      else unreachable();
      dst += bytes;
      src += BLOCK * 4;
    }
  }
}

/** To q4_0 and q5_0, with searched scales. The numbers at src are lost. */
function search_f32(dst: usize, type: i32, src: usize, count: i32): void {
  if (type != T_Q4_0 && type != T_Q5_0) unreachable();
  const bits = type == T_Q4_0 ? 4 : 5;
  const bytes = <usize>block_bytes(type);
  for (let b = blocks(count); b > 0; b--) {
    quantize_searched(dst, src, bits);
    dst += bytes;
    src += BLOCK * 4;
  }
}

// @ts-ignore: decorator
@inline
function value(src: usize, i: usize): f32 {
  return load<f32>(src + i * 4);
}

/** 1 / d, or 0 where the scale is so small that f16 makes it 0 and the inverse would overflow. */
// @ts-ignore: decorator
@inline
function inverse(d: f32): f32 {
  return abs<f32>(d) > 1e-37 ? 1 / d : 0;
}

/** Half away from zero, as C's roundf. */
function round(x: f32): f32 {
  const whole = trunc<f32>(x);
  return abs<f32>(x - whole) >= 0.5 ? whole + copysign<f32>(1, x) : whole;
}

function largest(src: usize): f32 {
  let top: f32 = 0;
  for (let i: usize = 0; i < <usize>BLOCK; i++) top = max<f32>(top, abs<f32>(value(src, i)));
  return top;
}

/** One block as GGML does it: scale = max|x| / 127 rounded to f16, codes = x / unrounded scale, half away from zero. */
function quantize_q8_0(dst: usize, src: usize): void {
  const d = largest(src) / 127;
  const id = inverse(d);
  store<u16>(dst, f32_to_f16(d));
  for (let i: usize = 0; i < <usize>BLOCK; i++) store<i8>(dst + i, <i8>round(value(src, i) * id), 2);
}

/** Ours: scale = max|x| / 63 as f32, codes -63..63, half away from zero. */
function quantize_q7_0(dst: usize, src: usize): void {
  const d = largest(src) / 63;
  const id = inverse(d);
  store<f32>(dst, id == 0 ? 0 : d);
  for (let i: usize = 0; i < <usize>BLOCK; i++) store<i8>(dst + i, <i8>round(value(src, i) * id), 4);
}

/** q4_0 and q5_0 as GGML does them: the value that is largest in magnitude gets the lowest code. */
function quantize_signed(dst: usize, src: usize, bits: i32): void {
  let most: f32 = 0;
  for (let i: usize = 0; i < <usize>BLOCK; i++) {
    const x = value(src, i);
    if (abs<f32>(x) > abs<f32>(most)) most = x;
  }
  const middle = 1 << (bits - 1);
  const d = most / <f32>-middle;
  const id = inverse(d);
  store<u16>(dst, f32_to_f16(d));
  store_codes(dst + 2, src, bits, 0, id, <f32>middle + 0.5);
}

/** q4_1 and q5_1 as GGML does them: codes from the smallest value up. */
function quantize_minimum(dst: usize, src: usize, bits: i32): void {
  let low = value(src, 0);
  let high = low;
  for (let i: usize = 1; i < <usize>BLOCK; i++) {
    low = min<f32>(low, value(src, i));
    high = max<f32>(high, value(src, i));
  }
  const d = (high - low) / <f32>((1 << bits) - 1);
  const id = inverse(d);
  store<u16>(dst, f32_to_f16(d));
  store<u16>(dst, f32_to_f16(low), 2);
  store_codes(dst + 4, src, bits, low, id, 0.5);
}

/** Codes (x - low) * id + offset, cut off: nibbles of values i and i + 16 together, and fifth bits in a word ahead of them. */
function store_codes(dst: usize, src: usize, bits: i32, low: f32, id: f32, offset: f32): void {
  const most = (1 << bits) - 1;
  let fifths: u32 = 0;
  const nibbles = bits == 5 ? dst + 4 : dst;
  for (let i: usize = 0; i < 16; i++) {
    const a = min<i32>(most, <i32>((value(src, i) - low) * id + offset));
    const b = min<i32>(most, <i32>((value(src, i + 16) - low) * id + offset));
    store<u8>(nibbles + i, <u8>((a & 15) | ((b & 15) << 4)));
    fifths |= (<u32>(a >> 4) << <u32>i) | (<u32>(b >> 4) << <u32>(i + 16));
  }
  if (bits == 5) store<u32>(dst, fifths);
}

/** Steps of the search: how far the number that is largest in size may lie from the lowest code, -7/8 to -35/32 of it. */
const STEPS = 8;
const STEP_FIRST: f32 = -28.0 / 32.0;
const STEP: f32 = -1.0 / 32.0;

/**
 * q4_0 and q5_0 with the scale searched. The block is divided by the number that is largest in size; for each step k the codes are
 * nearest-even(y * k), cut off; the codes are taken that leave the least error with the scale that suits them best, which is
 * sum(y * code) / sum(code²): the error is less by sum(y * code)² / sum(code²). Sums in four lanes. The numbers at src are lost.
 */
function quantize_searched(dst: usize, src: usize, bits: i32): void {
  let most: f32 = 0;
  for (let i: usize = 0; i < <usize>BLOCK; i++) {
    const x = value(src, i);
    if (abs<f32>(x) > abs<f32>(most)) most = x;
  }
  const id = f32x4.splat(inverse(most));
  for (let i: usize = 0; i < <usize>BLOCK * 4; i += 16) v128.store(src + i, f32x4.mul(v128.load(src + i), id));

  const top = <f32>(1 << (bits - 1));
  let best: f32 = -1;
  let factor: f32 = 0;
  let scale: f32 = 0;
  for (let s = 0; s < STEPS; s++) {
    const k = top * (STEP_FIRST + STEP * <f32>s);
    let along = f32x4.splat(0);
    let size = f32x4.splat(0);
    for (let i: usize = 0; i < <usize>BLOCK * 4; i += 16) {
      const y = v128.load(src + i);
      const q = code(y, k, top);
      along = f32x4.add(along, f32x4.mul(y, q));
      size = f32x4.add(size, f32x4.mul(q, q));
    }
    const sum = sum4(along);
    const squares = sum4(size);
    const gain = squares > 0 ? (sum * sum) / squares : 0;
    if (gain > best) {
      best = gain;
      factor = k;
      scale = squares > 0 ? sum / squares : 0;
    }
  }
  store<u16>(dst, f32_to_f16(most * scale));
  for (let i: usize = 0; i < <usize>BLOCK * 4; i += 16) v128.store(src + i, code(v128.load(src + i), factor, top));
  store_codes(dst + 2, src, bits, 0, 1, top);
}

// @ts-ignore: decorator
@inline
function code(y: v128, k: f32, top: f32): v128 {
  const q = f32x4.nearest(f32x4.mul(y, f32x4.splat(k)));
  return f32x4.min(f32x4.max(q, f32x4.splat(-top)), f32x4.splat(top - 1));
}

/** x: `rows` x `columns` f32, each multiplied by its column's factor, then by its row's. Addresses of f32; 0: there are none. */
export function scale(x: usize, rows: i32, columns: i32, by_columns: usize, by_rows: usize): void {
  const bytes = <usize>columns * 4;
  for (let r = 0; r < rows; r++) {
    const by = by_rows ? load<f32>(by_rows + (<usize>r << 2)) : 1;
    for (let c: usize = 0; c < bytes; c += 4) {
      const own = by_columns ? load<f32>(x + c) * load<f32>(by_columns + c) : load<f32>(x + c);
      store<f32>(x + c, own * by);
    }
    x += bytes;
  }
}

/** Are all of them numbers that the blocks of these types begin with? Asked first, as it is quick. */
function halves_finite(src: usize, type: i32, length: usize): bool {
  if (type != T_Q8_0 && type != T_Q4_0 && type != T_Q5_0) return false;
  const bytes = <usize>block_bytes(type);
  const end = src + length;
  let bad: u32 = 0;
  // Only an exponent of ones carries into the sign's place.
  for (; src < end; src += bytes) bad |= (<u32>load<u16>(src) & 0x7fff) + 0x400;
  return (bad & 0x8000) == 0;
}

/** Index of the first number (of quantised types: block) that is an infinity or not a number, or -1. */
export function not_finite(src: usize, type: i32, count: i32): i32 {
  const values = block_values(type);
  if (values) {
    const bytes = <usize>block_bytes(type);
    if (halves_finite(src, type, stored_bytes(type, count))) return -1;
    for (let b = 0; b * values < count; b++) if (!block_finite(src + <usize>b * bytes, type)) return b;
    return -1;
  }
  if (type == T_F32) {
    for (let i = 0; i < count; i++) if ((load<u32>(src + ((<usize>i) << 2)) & 0x7f800000) == 0x7f800000) return i;
    return -1;
  }
  const mask: u32 = type == T_BF16 ? 0x7f80 : 0x7c00;
  for (let i = 0; i < count; i++) if ((load<u16>(src + ((<usize>i) << 1)) & mask) == mask) return i;
  return -1;
}
