// What this machine can do at most, in WebAssembly: read memory, and the arithmetic of the kernels with everything else left
// out. Benchmarks compare the kernels with these loops; they are no part of the package.

import { DOT_8 as EXACT_8, Fours, ones, Pairs, start, step, total } from "../../assembly/dot";
import { lower_f16, upper_f16, upper_mask } from "../../assembly/lanes";
import { low_halves } from "../../assembly/matmul_codes_q8";
import { CALL_EPOCH, CALL_PROGRAM, CALL_RANKS } from "../../assembly/ops";
import { await_call, call, fence, line, poison } from "../../assembly/team";
import {
  DOT_4,
  DOT_8,
  DOT_16,
  J_ADDRESS,
  J_BYTES,
  J_FACTOR,
  J_KIND,
  J_RESULTS,
  J_ROUNDS,
  J_TEAM,
  MULTIPLY_ADD,
  ONE_4,
  ONE_8,
  ONE_16,
  ONE_BF16,
  ONE_F16,
  ONE_F32,
  READ,
  STEP,
} from "./jobs";

export { poison };

/** Rank 0: calls the others to a job and does its part. */
export function lead(job: usize, ranks: i32): void {
  if (ranks > 1) call(load<u32>(job, J_TEAM), job, ranks);
  work(job, 0, ranks);
}

/** Any other rank: does its part of every job, until the team is poisoned. */
export function follow(team: usize, rank: i32): void {
  if (!ASC_FEATURE_THREADS) return;
  const at = line(team, rank);
  let epoch: i32 = 0;
  while (await_call(team, at, epoch)) {
    epoch = atomic.load<i32>(at, CALL_EPOCH);
    work(load<u32>(at, CALL_PROGRAM), rank, load<i32>(at, CALL_RANKS));
  }
}

function work(job: usize, rank: i32, ranks: i32): void {
  const kind = load<i32>(job, J_KIND);
  const address = <usize>load<u32>(job, J_ADDRESS);
  const bytes = <usize>load<u32>(job, J_BYTES);
  const rounds = load<i32>(job, J_ROUNDS);
  let result: v128 = f32x4.splat(0.5);
  if (kind == MULTIPLY_ADD) result = multiply_add(rounds, job);
  else if (kind == DOT_16) result = dot_16(rounds, job);
  else if (kind == DOT_8) result = EXACT_8 >= 0 ? dot_8<Fours>(rounds, job, false) : dot_8<Pairs>(rounds, job, false);
  else if (kind == DOT_4) result = EXACT_8 >= 0 ? dot_8<Fours>(rounds, job, true) : dot_8<Pairs>(rounds, job, true);
  else {
    const part = kind == READ ? (bytes / ranks) & ~(STEP - 1) : bytes;
    const from = kind == READ ? address + part * rank : address;
    for (let i = 0; i < rounds; i++) result = v128.xor(result, pass(kind, from, from + part, job));
  }
  // Stored, so that no compiler finds out that nobody wants it.
  v128.store(job + J_RESULTS + <usize>rank * 64, result);
  fence(load<u32>(job, J_TEAM), ranks);
}

/** Once through the bytes. */
function pass(kind: i32, from: usize, end: usize, job: usize): v128 {
  if (kind == READ) return read(from, end);
  if (kind == ONE_F32) return one_f32(from, end, job);
  if (kind == ONE_F16) return one_16_bits<i16>(from, end, job);
  if (kind == ONE_BF16) return one_16_bits<u16>(from, end, job);
  if (kind == ONE_16) return one_wide(from, end, job);
  if (kind == ONE_8) return EXACT_8 >= 0 ? one_bytes<Fours>(from, end, job) : one_bytes<Pairs>(from, end, job);
  if (kind != ONE_4) unreachable();
  return EXACT_8 >= 0 ? one_nibbles<Fours>(from, end, job) : one_nibbles<Pairs>(from, end, job);
}

function read(p: usize, end: usize): v128 {
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  do {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
    a = v128.xor(a, v128.load(p, 64));
    b = v128.xor(b, v128.load(p, 80));
    c = v128.xor(c, v128.load(p, 96));
    d = v128.xor(d, v128.load(p, 112));
    p += STEP;
  } while (p < end);
  return v128.xor(v128.xor(a, b), v128.xor(c, d));
}

/** Twelve chains a = a * x + y: enough of them to hide how long a multiplication and an addition take. */
function multiply_add(rounds: i32, job: usize): v128 {
  const x = v128.load(job, J_FACTOR);
  const y = x;
  let a = x;
  let b = x;
  let c = x;
  let d = x;
  let e = x;
  let f = x;
  let g = x;
  let h = x;
  let i = x;
  let j = x;
  let k = x;
  let l = x;
  do {
    a = f32x4.add(f32x4.mul(a, x), y);
    b = f32x4.add(f32x4.mul(b, x), y);
    c = f32x4.add(f32x4.mul(c, x), y);
    d = f32x4.add(f32x4.mul(d, x), y);
    e = f32x4.add(f32x4.mul(e, x), y);
    f = f32x4.add(f32x4.mul(f, x), y);
    g = f32x4.add(f32x4.mul(g, x), y);
    h = f32x4.add(f32x4.mul(h, x), y);
    i = f32x4.add(f32x4.mul(i, x), y);
    j = f32x4.add(f32x4.mul(j, x), y);
    k = f32x4.add(f32x4.mul(k, x), y);
    l = f32x4.add(f32x4.mul(l, x), y);
  } while (--rounds);
  a = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  e = f32x4.add(f32x4.add(e, f), f32x4.add(g, h));
  return f32x4.add(f32x4.add(a, e), f32x4.add(f32x4.add(i, j), f32x4.add(k, l)));
}

/** The same with a = dot(a, x) + y, eight products of 16 bits each. */
function dot_16(rounds: i32, job: usize): v128 {
  const x = v128.load(job, J_FACTOR);
  const y = x;
  let a = x;
  let b = x;
  let c = x;
  let d = x;
  let e = x;
  let f = x;
  let g = x;
  let h = x;
  let i = x;
  let j = x;
  let k = x;
  let l = x;
  do {
    a = i32x4.add(i32x4.dot_i16x8_s(a, x), y);
    b = i32x4.add(i32x4.dot_i16x8_s(b, x), y);
    c = i32x4.add(i32x4.dot_i16x8_s(c, x), y);
    d = i32x4.add(i32x4.dot_i16x8_s(d, x), y);
    e = i32x4.add(i32x4.dot_i16x8_s(e, x), y);
    f = i32x4.add(i32x4.dot_i16x8_s(f, x), y);
    g = i32x4.add(i32x4.dot_i16x8_s(g, x), y);
    h = i32x4.add(i32x4.dot_i16x8_s(h, x), y);
    i = i32x4.add(i32x4.dot_i16x8_s(i, x), y);
    j = i32x4.add(i32x4.dot_i16x8_s(j, x), y);
    k = i32x4.add(i32x4.dot_i16x8_s(k, x), y);
    l = i32x4.add(i32x4.dot_i16x8_s(l, x), y);
  } while (--rounds);
  a = v128.xor(v128.xor(a, b), v128.xor(c, d));
  e = v128.xor(v128.xor(e, f), v128.xor(g, h));
  return v128.xor(v128.xor(a, e), v128.xor(v128.xor(i, j), v128.xor(k, l)));
}

/** The same for bytes, sixteen products each. */
function dot_8<D>(rounds: i32, job: usize, nibbles: bool): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return i32x4.splat(0);
  const one = ones();
  const x = v128.load(job, J_FACTOR);
  const y = x;
  let a = x;
  let b = x;
  let c = x;
  let d = x;
  let e = x;
  let f = x;
  let g = x;
  let h = x;
  let i = x;
  let j = x;
  let k = x;
  let l = x;
  do {
    a = step<D>(a, x, y, one, nibbles);
    b = step<D>(b, x, y, one, nibbles);
    c = step<D>(c, x, y, one, nibbles);
    d = step<D>(d, x, y, one, nibbles);
    e = step<D>(e, x, y, one, nibbles);
    f = step<D>(f, x, y, one, nibbles);
    g = step<D>(g, x, y, one, nibbles);
    h = step<D>(h, x, y, one, nibbles);
    i = step<D>(i, x, y, one, nibbles);
    j = step<D>(j, x, y, one, nibbles);
    k = step<D>(k, x, y, one, nibbles);
    l = step<D>(l, x, y, one, nibbles);
  } while (--rounds);
  a = v128.xor(v128.xor(a, b), v128.xor(c, d));
  e = v128.xor(v128.xor(e, f), v128.xor(g, h));
  return v128.xor(v128.xor(a, e), v128.xor(v128.xor(i, j), v128.xor(k, l)));
}

/** Weights of 32 bits, multiplied, added up. */
function one_f32(p: usize, end: usize, job: usize): v128 {
  const u = v128.load(job, J_FACTOR);
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  do {
    a = f32x4.add(a, f32x4.mul(v128.load(p), u));
    b = f32x4.add(b, f32x4.mul(v128.load(p, 16), u));
    c = f32x4.add(c, f32x4.mul(v128.load(p, 32), u));
    d = f32x4.add(d, f32x4.mul(v128.load(p, 48), u));
    e = f32x4.add(e, f32x4.mul(v128.load(p, 64), u));
    f = f32x4.add(f, f32x4.mul(v128.load(p, 80), u));
    g = f32x4.add(g, f32x4.mul(v128.load(p, 96), u));
    h = f32x4.add(h, f32x4.mul(v128.load(p, 112), u));
    p += STEP;
  } while (p < end);
  return f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
}

/** Weights of 16 bits (i16: f16, u16: bf16), widened, multiplied, added up: as the kernels do for one token. */
function one_16_bits<T>(p: usize, end: usize, job: usize): v128 {
  const s = v128.load(job, J_FACTOR);
  const mask = upper_mask();
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  do {
    let w = v128.load(p);
    let u = isSigned<T>() ? upper_f16(w, mask) : w;
    let v = isSigned<T>() ? lower_f16(w) : i16x8.splat(0);
    a = f32x4.add(a, f32x4.mul(v128.shuffle<i16>(v, u, 0, 8, 1, 9, 2, 10, 3, 11), s));
    b = f32x4.add(b, f32x4.mul(v128.shuffle<i16>(v, u, 4, 12, 5, 13, 6, 14, 7, 15), s));
    w = v128.load(p, 16);
    u = isSigned<T>() ? upper_f16(w, mask) : w;
    v = isSigned<T>() ? lower_f16(w) : i16x8.splat(0);
    c = f32x4.add(c, f32x4.mul(v128.shuffle<i16>(v, u, 0, 8, 1, 9, 2, 10, 3, 11), s));
    d = f32x4.add(d, f32x4.mul(v128.shuffle<i16>(v, u, 4, 12, 5, 13, 6, 14, 7, 15), s));
    w = v128.load(p, 32);
    u = isSigned<T>() ? upper_f16(w, mask) : w;
    v = isSigned<T>() ? lower_f16(w) : i16x8.splat(0);
    e = f32x4.add(e, f32x4.mul(v128.shuffle<i16>(v, u, 0, 8, 1, 9, 2, 10, 3, 11), s));
    f = f32x4.add(f, f32x4.mul(v128.shuffle<i16>(v, u, 4, 12, 5, 13, 6, 14, 7, 15), s));
    w = v128.load(p, 48);
    u = isSigned<T>() ? upper_f16(w, mask) : w;
    v = isSigned<T>() ? lower_f16(w) : i16x8.splat(0);
    g = f32x4.add(g, f32x4.mul(v128.shuffle<i16>(v, u, 0, 8, 1, 9, 2, 10, 3, 11), s));
    h = f32x4.add(h, f32x4.mul(v128.shuffle<i16>(v, u, 4, 12, 5, 13, 6, 14, 7, 15), s));
    p += 64;
  } while (p < end);
  return f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
}

/** Bytes, widened to 16 bits, multiplied and added in pairs, added up. */
function one_wide(p: usize, end: usize, job: usize): v128 {
  const u = v128.load(job, J_FACTOR);
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  do {
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p), u));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 8), u));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 16), u));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 24), u));
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 32), u));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 40), u));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 48), u));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 56), u));
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 64), u));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 72), u));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 80), u));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 88), u));
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 96), u));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 104), u));
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 112), u));
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 120), u));
    p += STEP;
  } while (p < end);
  return i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
}

/** Bytes, multiplied as they are. */
function one_bytes<D>(p: usize, end: usize, job: usize): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return i32x4.splat(0);
  const one = ones();
  const u = v128.load(job, J_FACTOR);
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  do {
    a = step<D>(a, u, v128.load(p), one, false);
    b = step<D>(b, u, v128.load(p, 16), one, false);
    c = step<D>(c, u, v128.load(p, 32), one, false);
    d = step<D>(d, u, v128.load(p, 48), one, false);
    a = step<D>(a, u, v128.load(p, 64), one, false);
    b = step<D>(b, u, v128.load(p, 80), one, false);
    c = step<D>(c, u, v128.load(p, 96), one, false);
    d = step<D>(d, u, v128.load(p, 112), one, false);
    p += STEP;
  } while (p < end);
  return i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
}

/** Half bytes, taken apart and multiplied; every 128 bytes a sum, as a block of 8 rows has it. */
function one_nibbles<D>(p: usize, end: usize, job: usize): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return i32x4.splat(0);
  const one = ones();
  const mask = low_halves();
  const u = v128.load(job, J_FACTOR);
  const zero = i32x4.splat(0);
  let sum = zero;
  do {
    let a = start<D>(zero, true);
    let b = a;
    let c = a;
    let d = a;
    let w = v128.load(p);
    a = step<D>(a, u, v128.and(w, mask), one, true);
    b = step<D>(b, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 16);
    c = step<D>(c, u, v128.and(w, mask), one, true);
    d = step<D>(d, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 32);
    a = step<D>(a, u, v128.and(w, mask), one, true);
    b = step<D>(b, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 48);
    c = step<D>(c, u, v128.and(w, mask), one, true);
    d = step<D>(d, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 64);
    a = step<D>(a, u, v128.and(w, mask), one, true);
    b = step<D>(b, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 80);
    c = step<D>(c, u, v128.and(w, mask), one, true);
    d = step<D>(d, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 96);
    a = step<D>(a, u, v128.and(w, mask), one, true);
    b = step<D>(b, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    w = v128.load(p, 112);
    c = step<D>(c, u, v128.and(w, mask), one, true);
    d = step<D>(d, u, v128.and(i16x8.shr_u(w, 4), mask), one, true);
    a = i32x4.add(total<D>(a, zero, one, true), total<D>(b, zero, one, true));
    c = i32x4.add(total<D>(c, zero, one, true), total<D>(d, zero, one, true));
    sum = i32x4.add(sum, i32x4.add(a, c));
    p += STEP;
  } while (p < end);
  return sum;
}
