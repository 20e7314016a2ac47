// Between the ways a file stores numbers, row by row; the quantiser is GGML's, so that files agree with other programs.

import { blocks } from "./blocks";
import { GGML_Q8_0, to_f32 } from "./embed";
import { f16_to_f32, f32_to_bf16, f32_to_f16 } from "./lanes";
import { BLOCK, T_BF16, T_F16, T_F32, T_Q8_0 } from "./ops";

/** Bytes of one row in a file's layout; q8_0 counts whole blocks. */
export function stored_bytes(type: i32, columns: i32): usize {
  if (type == T_F32) return <usize>columns * 4;
  if (type == T_Q8_0) return <usize>blocks(columns) * GGML_Q8_0;
  return <usize>columns * 2;
}

/**
 * dst, src: `rows` rows of `columns` numbers in the file layout of their types. A type converted to itself keeps its bits.
 * scratch: one row of f32, whole blocks.
 */
export function convert(
  dst: usize,
  dst_type: i32,
  src: usize,
  src_type: i32,
  rows: i32,
  columns: i32,
  scratch: usize,
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
    to_f32(scratch, src, src_type, columns);
    from_f32(dst, dst_type, scratch, columns);
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
  } else if (type == T_Q8_0) {
    for (let b = blocks(count); b > 0; b--) {
      quantize_q8_0(dst, src);
      dst += GGML_Q8_0;
      src += BLOCK * 4;
    }
  }
}

/** One block as GGML does it: scale = max|x| / 127 rounded to f16, codes = x / unrounded scale, half away from zero. */
function quantize_q8_0(dst: usize, src: usize): void {
  let top: f32 = 0;
  for (let i: usize = 0; i < <usize>BLOCK; i++) top = max<f32>(top, abs<f32>(load<f32>(src + i * 4)));
  const d = top / 127;
  const inverse: f32 = d > 1e-37 ? 1 / d : 0; // below, the scale is 0 in f16 and 1 / d would overflow
  store<u16>(dst, f32_to_f16(d));
  for (let i: usize = 0; i < <usize>BLOCK; i++) {
    const x = load<f32>(src + i * 4) * inverse;
    let whole = trunc<f32>(x);
    if (abs<f32>(x - whole) >= 0.5) whole += copysign<f32>(1, x);
    store<i8>(dst + i, <i8>whole, 2);
  }
}

/** Index of the first number (q8_0: block) that is an infinity or not a number, or -1. */
export function not_finite(src: usize, type: i32, count: i32): i32 {
  if (type == T_Q8_0) {
    for (let b = 0; b < blocks(count); b++) {
      if ((load<u16>(src + <usize>b * GGML_Q8_0) & 0x7c00) == 0x7c00) return b;
    }
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

/** What f16 scales widen to, for tests. */
export function widen(h: u32): f32 {
  return f16_to_f32(h);
}
