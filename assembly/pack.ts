// From a file's rows to the streams that the matmul kernels read: see `blocks.ts`.

import { blocks } from "./blocks";
import { stored_bytes } from "./convert";
import { GGML_Q8_0 } from "./embed";
import { f16_to_f32 } from "./lanes";
import { PIECE, Q8_0_TILE, T_F32, T_Q8_0 } from "./ops";

/** Bytes of one packed piece. */
export function piece_bytes(type: i32, columns: i32): usize {
  if (type == T_Q8_0) return <usize>blocks(columns) * (4 * Q8_0_TILE);
  return <usize>columns * (type == T_F32 ? 4 * PIECE : 2 * PIECE);
}

/** dst: one packed piece; src: its first `rows` (1..32) rows in the file layout of the same type; the others become zeros. */
export function pack(dst: usize, src: usize, type: i32, rows: i32, columns: i32): void {
  const stride = stored_bytes(type, columns);
  if (rows < PIECE) memory.fill(dst, 0, piece_bytes(type, columns));
  if (type == T_Q8_0) pack_q8_0(dst, src, stride, rows, blocks(columns));
  else if (type == T_F32) interleave<u32>(dst, src, stride, rows, columns);
  else interleave<u16>(dst, src, stride, rows, columns);
}

function interleave<T>(dst: usize, src: usize, stride: usize, rows: i32, columns: i32): void {
  for (let c = 0; c < columns; c++) {
    let from = src + <usize>c * sizeof<T>();
    for (let r = 0; r < rows; r++) {
      store<T>(dst + <usize>r * sizeof<T>(), load<T>(from));
      from += stride;
    }
    dst += PIECE * sizeof<T>();
  }
}

function pack_q8_0(dst: usize, src: usize, stride: usize, rows: i32, count: i32): void {
  for (let r = 0; r < rows; r++) {
    let from = src + <usize>r * stride;
    let tile = dst + <usize>(r >> 3) * (<usize>count * Q8_0_TILE);
    const lane = <usize>(r & 7) * 4;
    for (let b = 0; b < count; b++) {
      store<f32>(tile + lane, f16_to_f32(load<u16>(from)));
      for (let s: usize = 0; s < 8; s++) store<u32>(tile + 32 + s * 32 + lane, load<u32>(from + 2 + s * 4));
      from += GGML_Q8_0;
      tile += Q8_0_TILE;
    }
  }
}
