// What this machine can do at most, in WebAssembly: read memory, and the arithmetic of the kernels with everything else left
// out. Benchmarks compare the kernels with these loops; they are no part of the package.

import { f16_mask, f16_scale, widen_f16 } from "../../assembly/lanes";
import { TEAM_EPOCH, TEAM_PROGRAM } from "../../assembly/ops";
import { await_call, call, fence, poison } from "../../assembly/team";
import {
  DOT,
  J_ADDRESS,
  J_BYTES,
  J_FACTOR,
  J_KIND,
  J_RESULTS,
  J_ROUNDS,
  J_TEAM,
  MULTIPLY_ADD,
  READ,
  STEP,
  WIDEN_BF16,
  WIDEN_F16,
  WIDEN_Q8_0,
} from "./jobs";

export { poison };

/** Rank 0: calls the others to a job and does its part. */
export function lead(job: usize, ranks: i32): void {
  if (ranks > 1) call(load<u32>(job, J_TEAM), job);
  work(job, 0, ranks);
}

/** Any other rank: does its part of every job, until the team is poisoned. */
export function follow(team: usize, rank: i32, ranks: i32): void {
  if (!ASC_FEATURE_THREADS) return;
  let epoch: i32 = 0;
  while (await_call(team, epoch)) {
    epoch = atomic.load<i32>(team, TEAM_EPOCH);
    work(load<u32>(team, TEAM_PROGRAM), rank, ranks);
  }
}

function work(job: usize, rank: i32, ranks: i32): void {
  const kind = load<i32>(job, J_KIND);
  const address = <usize>load<u32>(job, J_ADDRESS);
  const bytes = <usize>load<u32>(job, J_BYTES);
  const rounds = load<i32>(job, J_ROUNDS);
  let result: v128 = f32x4.splat(0.5);
  if (kind == MULTIPLY_ADD) result = multiply_add(rounds, job);
  else if (kind == DOT) result = dot(rounds, job);
  else {
    const part = kind == READ ? (bytes / ranks) & ~(STEP - 1) : bytes;
    const from = kind == READ ? address + part * rank : address;
    for (let i = 0; i < rounds; i++) {
      if (kind == READ) result = v128.xor(result, read(from, from + part));
      else if (kind == WIDEN_F16) result = v128.xor(result, widen<i16>(from, from + part, job));
      else if (kind == WIDEN_BF16) result = v128.xor(result, widen<u16>(from, from + part, job));
      else if (kind == WIDEN_Q8_0) result = v128.xor(result, widen_dot(from, from + part, job));
      else unreachable();
    }
  }
  // Stored, so that no compiler finds out that nobody wants it.
  v128.store(job + J_RESULTS + <usize>rank * 64, result);
  fence(load<u32>(job, J_TEAM), ranks);
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
function dot(rounds: i32, job: usize): v128 {
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

// @ts-ignore: decorator
@inline
function widened<T>(w: usize, mask: v128, scale: v128): v128 {
  if (isSigned<T>()) return widen_f16(v128.load_ext<i16>(w), mask, scale);
  return i32x4.shl(v128.load_ext<u16>(w), 16);
}

/** Weights of 16 bits (i16: f16, u16: bf16), widened, multiplied, added up: as the kernels do for one token. */
function widen<T>(p: usize, end: usize, job: usize): v128 {
  const u = v128.load(job, J_FACTOR);
  const mask = f16_mask();
  const scale = f16_scale();
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let e = a;
  let f = a;
  let g = a;
  let h = a;
  do {
    a = f32x4.add(a, f32x4.mul(widened<T>(p, mask, scale), u));
    b = f32x4.add(b, f32x4.mul(widened<T>(p + 8, mask, scale), u));
    c = f32x4.add(c, f32x4.mul(widened<T>(p + 16, mask, scale), u));
    d = f32x4.add(d, f32x4.mul(widened<T>(p + 24, mask, scale), u));
    e = f32x4.add(e, f32x4.mul(widened<T>(p + 32, mask, scale), u));
    f = f32x4.add(f, f32x4.mul(widened<T>(p + 40, mask, scale), u));
    g = f32x4.add(g, f32x4.mul(widened<T>(p + 48, mask, scale), u));
    h = f32x4.add(h, f32x4.mul(widened<T>(p + 56, mask, scale), u));
    p += 64;
  } while (p < end);
  return f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
}

/** The same for 8-bit weights: widened to 16 bits, multiplied and added in pairs, added up. */
function widen_dot(p: usize, end: usize, job: usize): v128 {
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
