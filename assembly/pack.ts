// From a file's rows to the streams that the matmul kernels read: see `blocks.ts`.

import { blocks } from "./blocks";
import { stored_bytes } from "./convert";
import { block_bytes, block_values, decode_block } from "./decode";
import { f16_mask, f16_scale, widen_f16 } from "./lanes";
import { PIECE, T_F32, T_Q4_0, T_Q8_0, UNIT_BYTES } from "./ops";
import { piece_bytes, tile_kind, tile_nibbles, tile_offset } from "./tiles";

/**
 * dst: one packed piece; src: its first `rows` (1..32) rows in the file layout of the same type, whose scales are finite; the others become
 * zeros.
 * scratch: 384 bytes.
 */
export function pack(dst: usize, src: usize, type: i32, rows: i32, columns: i32, scratch: usize): void {
  const stride = stored_bytes(type, columns);
  if (rows < PIECE) memory.fill(dst, 0, piece_bytes(type, columns));
  if (tile_kind(type)) pack_codes(dst, src, stride, type, rows, columns, scratch);
  else if (type == T_F32) interleave<u32>(dst, src, stride, rows, columns);
  else interleave<u16>(dst, src, stride, rows, columns);
}

/** Squares of as many numbers as a vector holds, where there are enough rows and columns; the rest one by one. */
function interleave<T>(dst: usize, src: usize, stride: usize, rows: i32, columns: i32): void {
  const lanes = <i32>(16 / sizeof<T>());
  const line: usize = PIECE * sizeof<T>();
  const squares = rows == PIECE ? columns - (columns % lanes) : 0;
  for (let c = 0; c < squares; c += lanes) {
    let from = src + <usize>c * sizeof<T>();
    const to = dst + <usize>c * line;
    for (let at: usize = 0; at < line; at += 16) {
      if (sizeof<T>() == 2) turn_eight(to + at, line, from, stride);
      else turn_four(to + at, line, from, stride, i8x16.splat(0));
      from += stride * <usize>lanes;
    }
  }
  dst += <usize>squares * line;
  for (let c = squares; c < columns; c++) {
    let from = src + <usize>c * sizeof<T>();
    for (let r = 0; r < rows; r++) {
      store<T>(dst + <usize>r * sizeof<T>(), load<T>(from));
      from += stride;
    }
    dst += line;
  }
}

/** Four by four numbers of 32 bits, turned; `offset` is added to each byte. */
function turn_four(to: usize, line: usize, from: usize, stride: usize, offset: v128): void {
  turned(
    to,
    line,
    i8x16.add(v128.load(from), offset),
    i8x16.add(v128.load(from + stride), offset),
    i8x16.add(v128.load(from + stride * 2), offset),
    i8x16.add(v128.load(from + stride * 3), offset),
  );
}

/** Four vectors of four numbers, turned, `line` bytes from one to the next. */
function turned(to: usize, line: usize, a: v128, b: v128, c: v128, d: v128): void {
  const near = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const near2 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const far = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const far2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(near, near2, 0, 2));
  v128.store(to + line, v128.shuffle<i64>(near, near2, 1, 3));
  v128.store(to + line * 2, v128.shuffle<i64>(far, far2, 0, 2));
  v128.store(to + line * 3, v128.shuffle<i64>(far, far2, 1, 3));
}

/** Eight by eight numbers of 16 bits, turned: pairs of rows, then as four by four numbers of 32 bits. */
// @ts-ignore: decorator
@inline
function turn_eight(to: usize, line: usize, from: usize, stride: usize): void {
  const far = from + stride * 4;
  let a = v128.load(from);
  let b = v128.load(from + stride);
  const ab = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const ab2 = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  a = v128.load(from + stride * 2);
  b = v128.load(from + stride * 3);
  const cd = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const cd2 = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  a = v128.load(far);
  b = v128.load(far + stride);
  const ef = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const ef2 = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  a = v128.load(far + stride * 2);
  b = v128.load(far + stride * 3);
  const gh = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  const gh2 = v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  turned(to, line, ab, cd, ef, gh);
  turned(to + line * 4, line, ab2, cd2, ef2, gh2);
}

/** Half a piece after the other; in each, tile after tile, so that memory is written from its start to its end. */
function pack_codes(dst: usize, src: usize, stride: usize, type: i32, rows: i32, columns: i32, scratch: usize): void {
  for (let first = 0; first < rows; first += ROWS) {
    const own = src + <usize>first * stride;
    const most = min(ROWS, rows - first);
    if (most == ROWS && (type == T_Q8_0 || type == T_Q4_0)) {
      const offset = i8x16.splat(type == T_Q8_0 ? <i8>tile_offset(type) : 0);
      dst = pack_blocks(dst, own, stride, <usize>block_bytes(type), columns, offset);
    } else dst = pack_tiles(dst, own, stride, type, most, columns, scratch);
  }
}

/** Rows of a tile. */
const ROWS: i32 = PIECE / 2;

/** dst: the tiles of `rows` (1..16) rows. Answers where they end. */
function pack_tiles(
  dst: usize,
  src: usize,
  stride: usize,
  type: i32,
  rows: i32,
  columns: i32,
  scratch: usize,
): usize {
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
    let to = dst + <usize>r * 4;
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
  return dst + <usize>count * tile;
}

/**
 * The same for 16 rows of q8_0 (blocks of 34 bytes), what most large files are made of, and of q4_0 (18), whose bytes are those of the tiles
 * already.
 */
function pack_blocks(dst: usize, src: usize, stride: usize, bytes: usize, columns: i32, offset: v128): usize {
  const mask = f16_mask();
  const scale = f16_scale();
  for (let b = blocks(columns); b > 0; b--) {
    let from = src;
    for (let to = dst; to < dst + 64; to += 16) {
      v128.store(to, four_scales(from, stride, mask, scale));
      for (let at: usize = 2; at < bytes; at += 16) turn_four(to + at * 16 + 32, 64, from + at, stride, offset);
      from += stride * 4;
    }
    dst += bytes * 16 + 32;
    src += bytes;
  }
  return dst;
}

/** The f16 at the start of four rows, as f32; finite only. */
// @ts-ignore: decorator
@inline
function four_scales(from: usize, stride: usize, mask: v128, scale: v128): v128 {
  let h = i32x4.splat(<i32>load<i16>(from));
  h = i32x4.replace_lane(h, 1, <i32>load<i16>(from + stride));
  h = i32x4.replace_lane(h, 2, <i32>load<i16>(from + stride * 2));
  h = i32x4.replace_lane(h, 3, <i32>load<i16>(from + stride * 3));
  return widen_f16(h, mask, scale);
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
