// From a vector as a checkpoint has it to the vector that kernels want: once, while loading.

import { exp1 } from "./math";
import { FORM_EXP, FORM_EXP_MINUS_EXP, FORM_MINUS_EXP, FORM_ONE_MINUS } from "./ops";

/**
 * dst[i * times + j] = form(src[i]) for `count` numbers: with `times` above 1, what a head shares is given to each of its
 * channels. dst and src do not overlap. form: FORM_*.
 */
export function spread(dst: usize, src: usize, count: i32, times: i32, form: i32): void {
  for (let i = 0; i < count; i++) {
    const x = formed(load<f32>(src + (<usize>i << 2)), form);
    for (let j = 0; j < times; j++) {
      store<f32>(dst, x);
      dst += 4;
    }
  }
}

function formed(x: f32, form: i32): f32 {
  if (form == FORM_EXP) return exp1(x);
  if (form == FORM_MINUS_EXP) return -exp1(x);
  if (form == FORM_EXP_MINUS_EXP) return exp1(-exp1(x));
  if (form == FORM_ONE_MINUS) return 1 - x;
  return x;
}
