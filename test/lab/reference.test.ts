// The float64 reference gives the numbers that are known for the fixtures, and the engine gives the reference's.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Reference } from "../../src/lab/reference.ts";
import { expectedOf, openFixture, pathOf, VERSIONS } from "./models.ts";

/** Between a float64 and the float32 that stands for it in the fixtures. */
const ROUNDED = 2e-6;

for (const version of VERSIONS) {
  test(`version ${version}: logits and state`, async () => {
    const { weights, config } = await openFixture(version);
    const { prompt, logits, state } = expectedOf(version);
    const reference = new Reference(weights, config);
    const { load } = await import(new URL("../../dist/index.js", `file://${process.cwd()}/test/lab/`).href);
    const model = await load(pathOf(version), { threads: 0 });
    const engine: Float32Array[] = await model.forward(prompt);
    await model.close();
    prompt.forEach((id, t) => {
      reference.step(id).forEach((logit, i) => {
        assert.ok(Math.abs(logit - logits[t * config.vocab + i]) < ROUNDED);
        assert.ok(Math.abs(logit - engine[t][i]) < 5e-5);
      });
    });
    state.forEach((layer, i) => {
      for (const [part, numbers] of Object.entries(layer)) {
        const found = reference.state[i][part as keyof (typeof reference.state)[number]];
        assert.is(found.length, numbers.length);
        numbers.forEach((n, j) => {
          assert.ok(Math.abs(found[j] - n) < ROUNDED * Math.max(1, Math.abs(n)), `${part} ${j}`);
        });
      }
    });
  });
}

test.run();
