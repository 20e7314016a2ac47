// The functions of math.ts over arrays: what tests and benchmarks call, since a host cannot pass vectors.

import { exp, log, sigmoid, softplus, tanh } from "./math";

/** dst[i] = e^src[i] for `count` numbers, a multiple of 4. The others likewise. */
export function exp4(dst: usize, src: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 16) v128.store(dst + i, exp(v128.load(src + i)));
}
export function log4(dst: usize, src: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 16) v128.store(dst + i, log(v128.load(src + i)));
}
export function sigmoid4(dst: usize, src: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 16) v128.store(dst + i, sigmoid(v128.load(src + i)));
}
export function tanh4(dst: usize, src: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 16) v128.store(dst + i, tanh(v128.load(src + i)));
}
export function softplus4(dst: usize, src: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 16) v128.store(dst + i, softplus(v128.load(src + i)));
}
