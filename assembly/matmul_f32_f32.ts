// out[t][row] = sum over inputs of weights[row][input] * x[t][input], for one piece of 32 rows; f32 weights, f32 activations.
// Each (row, token) is one chain, inputs ascending: multiply, round, add, round. One lane per row; never lanes along inputs.

/** Inputs that the tiles take in one go: 8 kB of weights, which then serve every token from the nearest cache. */
const CHUNK: i32 = 64;

/** out: n x 32 f32; weights: one piece, see `blocks.ts`; x: n rows of `stride` bytes. */
export function matmul_f32_f32(out: usize, weights: usize, x: usize, stride: usize, inputs: i32, n: i32): void {
  if (n == 1) return column_f32(out, weights, x, inputs);
  memory.fill(out, 0, <usize>n * 128);
  for (let k = 0; k < inputs; k += CHUNK) {
    tiles_f32(out, weights + <usize>k * 128, x + <usize>k * 4, stride, min(CHUNK, inputs - k), n);
  }
}

/** One token: 32 chains at once, 8 vectors. */
function column_f32(out: usize, w: usize, x: usize, inputs: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  const end = x + <usize>inputs * 4;
  while (x < end) {
    const u = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(v128.load(w), u));
    a1 = f32x4.add(a1, f32x4.mul(v128.load(w, 16), u));
    a2 = f32x4.add(a2, f32x4.mul(v128.load(w, 32), u));
    a3 = f32x4.add(a3, f32x4.mul(v128.load(w, 48), u));
    a4 = f32x4.add(a4, f32x4.mul(v128.load(w, 64), u));
    a5 = f32x4.add(a5, f32x4.mul(v128.load(w, 80), u));
    a6 = f32x4.add(a6, f32x4.mul(v128.load(w, 96), u));
    a7 = f32x4.add(a7, f32x4.mul(v128.load(w, 112), u));
    x += 4;
    w += 128;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, a4, 64);
  v128.store(out, a5, 80);
  v128.store(out, a6, 96);
  v128.store(out, a7, 112);
}

/** Continues the chains of n x 32 sums in `out` by `inputs` inputs. w: inputs x 32 f32. */
export function tiles_f32(out: usize, w: usize, x: usize, stride: usize, inputs: i32, n: i32): void {
  let t = 0;
  for (; t + 2 <= n; t += 2) {
    tile_16x2(out, w, x, stride, inputs);
    tile_16x2(out + 64, w + 64, x, stride, inputs);
    out += 256;
    x += stride * 2;
  }
  if (t < n) {
    tile_16x1(out, w, x, inputs);
    tile_16x1(out + 64, w + 64, x, inputs);
  }
}

/** 16 rows x 2 tokens: 8 vectors of sums, carried by a loop of one input per round. */
function tile_16x2(out: usize, w: usize, x: usize, stride: usize, inputs: i32): void {
  let a0 = v128.load(out);
  let a1 = v128.load(out, 16);
  let a2 = v128.load(out, 32);
  let a3 = v128.load(out, 48);
  let b0 = v128.load(out, 128);
  let b1 = v128.load(out, 144);
  let b2 = v128.load(out, 160);
  let b3 = v128.load(out, 176);
  const end = x + <usize>inputs * 4;
  let y = x + stride;
  do {
    const u = v128.load32_splat(x);
    const v = v128.load32_splat(y);
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    a0 = f32x4.add(a0, f32x4.mul(w0, u));
    b0 = f32x4.add(b0, f32x4.mul(w0, v));
    const w2 = v128.load(w, 32);
    a1 = f32x4.add(a1, f32x4.mul(w1, u));
    b1 = f32x4.add(b1, f32x4.mul(w1, v));
    const w3 = v128.load(w, 48);
    a2 = f32x4.add(a2, f32x4.mul(w2, u));
    b2 = f32x4.add(b2, f32x4.mul(w2, v));
    a3 = f32x4.add(a3, f32x4.mul(w3, u));
    b3 = f32x4.add(b3, f32x4.mul(w3, v));
    w += 128;
    x += 4;
    y += 4;
  } while (x < end);
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
  v128.store(out, b0, 128);
  v128.store(out, b1, 144);
  v128.store(out, b2, 160);
  v128.store(out, b3, 176);
}

function tile_16x1(out: usize, w: usize, x: usize, inputs: i32): void {
  let a0 = v128.load(out);
  let a1 = v128.load(out, 16);
  let a2 = v128.load(out, 32);
  let a3 = v128.load(out, 48);
  const end = x + <usize>inputs * 4;
  do {
    const u = v128.load32_splat(x);
    a0 = f32x4.add(a0, f32x4.mul(v128.load(w), u));
    a1 = f32x4.add(a1, f32x4.mul(v128.load(w, 16), u));
    a2 = f32x4.add(a2, f32x4.mul(v128.load(w, 32), u));
    a3 = f32x4.add(a3, f32x4.mul(v128.load(w, 48), u));
    w += 128;
    x += 4;
  } while (x < end);
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, a2, 32);
  v128.store(out, a3, 48);
}
