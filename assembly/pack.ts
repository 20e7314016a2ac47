// From a file's rows to the streams that the matmul kernels read: see `blocks.ts`.

import { blocks } from "./blocks";
import { stored_bytes } from "./convert";
import { block_bytes, block_values, decode_block } from "./decode";
import { PIECE, T_F32, UNIT_BYTES } from "./ops";
import { piece_bytes, tile_kind, tile_nibbles, tile_offset } from "./tiles";

/**
 * dst: one packed piece; src: its first `rows` (1..32) rows in the file layout of the same type; the others become zeros.
 * scratch: 384 bytes.
 */
export function pack(dst: usize, src: usize, type: i32, rows: i32, columns: i32, scratch: usize): void {
  const stride = stored_bytes(type, columns);
  if (rows < PIECE) memory.fill(dst, 0, piece_bytes(type, columns));
  if (tile_kind(type)) pack_codes(dst, src, stride, type, rows, columns, scratch);
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

function pack_codes(dst: usize, src: usize, stride: usize, type: i32, rows: i32, columns: i32, scratch: usize): void {
  const kind = tile_kind(type);
  const nibbles = tile_nibbles(type);
  const offset = i8x16.splat(<i8>tile_offset(type));
  const header = <usize>kind * 64;
  const tile = header + (nibbles ? 256 : 512);
  const count = blocks(columns);
  const units = block_values(type) >> 5;
  const bytes = <usize>block_bytes(type);
  for (let r = 0; r < rows; r++) {
    let from = src + <usize>r * stride;
    let to = dst + <usize>(r >> 4) * (<usize>count * tile) + <usize>(r & 15) * 4;
    for (let b = 0; b < count; b += units) {
      decode_block(scratch, from, type);
      from += bytes;
      const last = min(units, count - b);
      for (let u = 0; u < last; u++) {
        const unit = scratch + <usize>u * UNIT_BYTES;
        // scale and minimum of the first half, then of the second, as far as the header goes
        for (let h: usize = 0; h < <usize>kind; h++) store<f32>(to + h * 64, load<f32>(unit + h * 4, 32));
        const near = i8x16.add(v128.load(unit), offset);
        const far = i8x16.add(v128.load(unit, 16), offset);
        const codes = to + header;
        if (nibbles) store_steps(codes, v128.or(near, i8x16.shl(far, 4)));
        else {
          store_steps(codes, near);
          store_steps(codes + 256, far);
        }
        to += tile;
      }
    }
  }
}

/** A row's four codes of each of four steps. */
// @ts-ignore: decorator
@inline
function store_steps(to: usize, codes: v128): void {
  store<u32>(to, i32x4.extract_lane(codes, 0));
  store<u32>(to, i32x4.extract_lane(codes, 1), 64);
  store<u32>(to, i32x4.extract_lane(codes, 2), 128);
  store<u32>(to, i32x4.extract_lane(codes, 3), 192);
}

/**
 * For matrices that a file holds as (inputs, outputs). dst: the first piece of a matrix of `rows` outputs x `columns` inputs, f32, f16
 * or bf16; src: the weights of `count` inputs from `first` on, each a row of `rows` numbers of the same type. Rows that the last
 * piece lacks become zeros.
 */
export function pack_transposed(
  dst: usize,
  src: usize,
  type: i32,
  rows: i32,
  columns: i32,
  first: i32,
  count: i32,
): void {
  const width: usize = type == T_F32 ? 4 : 2;
  const stride = <usize>rows * width;
  const line = <usize>PIECE * width;
  const size = piece_bytes(type, columns);
  for (let r = 0; r < rows; r += PIECE) {
    const bytes = <usize>min(PIECE, rows - r) * width;
    let to = dst + <usize>first * line;
    let from = src + <usize>r * width;
    for (let k = 0; k < count; k++) {
      memory.copy(to, from, bytes);
      memory.fill(to + bytes, 0, line - bytes);
      to += line;
      from += stride;
    }
    dst += size;
  }
}
