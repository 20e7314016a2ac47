// Singular values and the effective rank, against matrices of which both are known.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { randomFrom } from "../../src/lab/official.ts";
import { effectiveRank, singularValues } from "../../src/lab/spectrum.ts";

const SIZE = 16;

/** A rotation of all pairs of neighbours, by random angles: at right angles, so that it changes no singular value. */
function turned(matrix: Float64Array, random: () => number): Float64Array {
  const out = matrix.slice();
  for (let round = 0; round < SIZE; round++) {
    for (let i = 0; i + 1 < SIZE; i++) {
      const [cos, sin] = [Math.cos(random() * 6), 0];
      const s = Math.sqrt(1 - cos * cos) + sin;
      for (let j = 0; j < SIZE; j++) {
        const [a, b] = [out[i * SIZE + j], out[(i + 1) * SIZE + j]];
        out[i * SIZE + j] = cos * a - s * b;
        out[(i + 1) * SIZE + j] = s * a + cos * b;
      }
    }
  }
  return out;
}

const transposed = (matrix: Float64Array) => matrix.map((_, at) => matrix[(at % SIZE) * SIZE + Math.floor(at / SIZE)]);

test("singular values of a turned diagonal are the diagonal", () => {
  const random = randomFrom(1);
  const wanted = Array.from({ length: SIZE }, (_, i) => (i < 5 ? 10 / (i + 1) : 0));
  const diagonal = new Float64Array(SIZE * SIZE);
  wanted.forEach((n, i) => {
    diagonal[i * SIZE + i] = n;
  });
  const matrix = turned(transposed(turned(diagonal, random)), random);
  singularValues(matrix, SIZE).forEach((found, i) => {
    assert.ok(Math.abs(found - wanted[i]) < 1e-10, `${i}: ${found}`);
  });
});

test("n equal singular values have the rank n, nothing has none", () => {
  for (const n of [1, 3, SIZE]) {
    const values = Float64Array.from({ length: SIZE }, (_, i) => (i < n ? 4 : 0));
    assert.ok(Math.abs(effectiveRank(values) - n) < 1e-12);
  }
  assert.is(effectiveRank(new Float64Array(4)), 0);
  assert.ok(effectiveRank([1, 0.01]) < 1.1);
});

test.run();
