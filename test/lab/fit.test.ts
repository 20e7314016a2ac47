// Fits on made data: what was put in comes out, with an error that means what it says.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { crossing, type Point, powerFit, quadraticFit } from "../../src/lab/fit.ts";
import { Random } from "../kernels/random.ts";

const near = (x: number, expected: number, by: number) =>
  assert.ok(Math.abs(x - expected) <= by, `${x} is not within ${by} of ${expected}`);
const xs = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const law = (f: (x: number) => number): Point[] => xs.map((x) => [x, f(x)]);

test("a power comes out exactly, without error", () => {
  const fit = powerFit(law((x) => 3e-4 * x ** 1.5))!;
  near(fit.exponent, 1.5, 1e-12);
  near(fit.factor, 3e-4, 1e-15);
  near(fit.error, 0, 1e-7);
  assert.is(fit.points, xs.length);
});

test("with noise the exponent is within twice its standard error about 95 times in 100", () => {
  const random = new Random(1);
  let inside = 0;
  let spread = 0;
  let error = 0;
  for (let i = 0; i < 1000; i++) {
    const fit = powerFit(xs.map((x) => [x, 0.01 * x * Math.exp(0.05 * random.bell())]))!;
    if (Math.abs(fit.exponent - 1) < 2 * fit.error) inside++;
    spread += (fit.exponent - 1) ** 2 / 1000;
    error += fit.error ** 2 / 1000;
  }
  // Eight degrees of freedom: Student's t, 91.9 %.
  near(inside / 1000, 0.919, 0.03);
  near(Math.sqrt(error / spread), 1, 0.05);
});

test("too few points give no fit, and points that a logarithm has none of do not count", () => {
  assert.is(
    powerFit([
      [1, 1],
      [2, 2],
    ]),
    undefined,
  );
  assert.is(
    powerFit([
      [5, 1],
      [5, 2],
      [5, 3],
    ]),
    undefined,
  );
  assert.is(powerFit([[0, 1], [3, 0], ...law((x) => x)])!.points, xs.length);
});

test("a sum of a linear and a quadratic part is taken apart; neither is below 0", () => {
  const { linear, quadratic } = quadraticFit(law((x) => 2e-4 * x + 3e-7 * x * x))!;
  near(linear / 2e-4, 1, 1e-9);
  near(quadratic / 3e-7, 1, 1e-9);
  assert.equal(Object.values(quadraticFit(law((x) => 2 * x ** 0.9))!).at(-1), 0);
  assert.is(quadraticFit(law((x) => x ** 2.2))!.linear, 0);
  assert.is(quadraticFit([[1, 1]]), undefined);
});

test("curves cross where they do, or nowhere, or one is above everywhere", () => {
  const linear = law((x) => 2e-3 * x);
  const steep = law((x) => 1e-5 * x ** 2);
  near(crossing(steep, linear)!, 200, 1e-9);
  near(
    crossing(
      law((x) => 1e-5 * x ** 2 * 0.9),
      linear,
    )!,
    2000 / 9,
    1e-9,
  );
  assert.is(
    crossing(
      linear.map(([x, y]) => [x, y / 2]),
      linear,
    ),
    undefined,
  );
  assert.is(
    crossing(
      law((x) => 1 + x),
      linear,
    ),
    0,
  );
  assert.is(crossing([], linear), undefined);
});

test.run();
