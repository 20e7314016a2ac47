// f32 that came from bf16 are bf16 again: the same numbers in half the bytes. Checkpoints are trained in bf16, and converters write
// some of their matrices as f32.

/** Are the last 16 bits of all `count` (a multiple of 32) f32 zeros? Then they become bf16 in the same order, from the same address. */
export function halve(at: usize, count: i32): bool {
  const end = at + (<usize>count << 2);
  let all = i32x4.splat(0);
  for (let p = at; p < end; p += 32) all = v128.or(all, v128.or(v128.load(p), v128.load(p, 16)));
  if (v128.any_true(v128.and(all, i32x4.splat(0xffff)))) return false;
  let to = at;
  for (let p = at; p < end; p += 32) {
    v128.store(to, v128.shuffle<i16>(v128.load(p), v128.load(p, 16), 1, 3, 5, 7, 9, 11, 13, 15));
    to += 16;
  }
  return true;
}
