// The weights that `rwkv lab attention` shows are exact: times the values they give the outputs again, in every version.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { attentionOf, channelWeights, glances } from "../../src/lab/attention.ts";
import { scansOf } from "../../src/lab/opened.ts";
import { type LayerState, Reference, type Scan } from "../../src/lab/reference.ts";
import { idsOf, sourcesOf, TASKS, TOY_VERSIONS, toyModel } from "../../src/lab/toy.ts";
import { rwkv } from "../cli/rwkv.ts";
import { expectedOf, openBytes, openFixture, VERSIONS } from "./models.ts";

const EXACT = 1e-12;

for (const version of VERSIONS) {
  test(`version ${version}: weights times values are the outputs`, async () => {
    const model = await openFixture(version);
    const scans = await scansOf(model, expectedOf(version).prompt);
    for (const scan of scans) {
      const { heads, error } = attentionOf(model.config, scan);
      assert.ok(error < EXACT, `${error}`);
      for (const { tokens, weights, shares } of heads) {
        for (let t = 0; t < tokens; t++) {
          const row = shares.subarray(t * tokens, (t + 1) * tokens);
          const total = row.reduce((sum, share) => sum + Math.abs(share), 0);
          assert.ok(Math.abs(total - 1) < EXACT, `the shares of token ${t} are ${total}`);
          assert.ok(row.subarray(t + 1).every((share) => share === 0));
        }
        if (version === "4") assert.ok(weights.every((weight) => weight >= 0));
      }
    }
  });

  test(`version ${version}: what a state before the first token adds is accounted for`, async () => {
    const model = await openFixture(version);
    const { prompt } = expectedOf(version);
    const half = prompt.length >> 1;
    const reference = new Reference(model.weights, model.config);
    for (const id of prompt.slice(0, half)) reference.step(id);
    const before = reference.state.map(
      (layer) =>
        Object.fromEntries(Object.entries(layer).map(([part, x]) => [part, x.slice()])) as unknown as LayerState,
    );
    const scans: Scan[][] = before.map(() => []);
    for (const id of prompt.slice(half)) reference.step(id, (layer, scan) => void scans[layer].push(scan));
    scans.forEach((scan, layer) => {
      assert.ok(attentionOf(model.config, scan, before[layer]).error < EXACT);
      assert.ok(attentionOf(model.config, scan).error > 1e-3, "without it, something is missing");
    });
  });
}

test("version 4: a channel's weights for a token add up to 1", async () => {
  const model = await openFixture("4");
  const [scan] = await scansOf(model, expectedOf("4").prompt);
  const T = scan.length;
  for (const channel of [0, 17, 127]) {
    const { weights } = channelWeights(scan, channel);
    for (let t = 0; t < T; t++) {
      const total = weights.subarray(t * T, (t + 1) * T).reduce((sum, weight) => sum + weight, 0);
      assert.ok(Math.abs(total - 1) < EXACT);
    }
  }
});

for (const version of TOY_VERSIONS) {
  test(`version ${version}: tasks of known answers`, async () => {
    const model = await openBytes("toy", await toyModel(version));
    for (const task of TASKS) {
      const ids = idsOf(task);
      const [scan] = await scansOf(model, ids);
      const { heads, error } = attentionOf(model.config, scan);
      assert.ok(error < EXACT);
      const T = ids.length;
      for (let t = 0; t < T; t++) {
        const sources = sourcesOf(ids, t);
        // Version 4 cannot ask. Versions 5 and 6 find all that was ever stored under a key, version 7 what was stored last.
        if (version === "4") {
          const others = ids.flatMap((_, i) => (i <= t && !sources.includes(i) ? [heads[0].weights[t * T + i]] : []));
          for (const i of sources) assert.ok(heads[0].weights[t * T + i] <= Math.max(...others));
          continue;
        }
        const wanted = version === "7" ? sources.slice(-1) : sources;
        for (let i = 0; i <= t; i++) {
          const weight = heads[0].weights[t * T + i];
          assert.ok(Math.abs(weight - Number(wanted.includes(i))) < 1e-4, `${task.name} ${t} ${i}: ${weight}`);
        }
      }
    }
  });
}

test("the sharpest looks are found, one of each head, and none that is too near or too early", () => {
  const T = 6;
  const map = (entries: [t: number, i: number, share: number][]) => {
    const shares = new Float64Array(T * T);
    for (const [t, i, share] of entries) shares[t * T + i] = share;
    return { tokens: T, weights: shares, shares };
  };
  const near = map([
    [5, 4, 0.9],
    [4, 0, 0.8],
    [5, 2, 0.3],
  ]);
  const far = map([
    [5, 1, -0.5],
    [5, 2, 0.4],
  ]);
  assert.equal(glances([{ heads: [near, far], error: 0 }], 2, 1), [
    { layer: 0, head: 1, from: 5, to: 1, share: -0.5 },
    { layer: 0, head: 0, from: 5, to: 2, share: 0.3 },
  ]);
});

test("rwkv lab attention: a full stop looks back at the man, and `He` follows", async () => {
  const { code, stdout, stderr } = await rwkv(["lab", "attention"]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /4 +2 +-\d+ +9 +… a small hammer\. +…\. The man +He\n/);
  assert.match(stdout, / man\(-\d+\) smiled and took out a small hammer\[\.\]/);
});

test("rwkv lab attention --task: what versions can look up", async () => {
  const { code, stdout } = await rwkv(["lab", "attention", "--task", "recall"]);
  assert.is(code, 0);
  assert.match(stdout, /BDC\[A\] +1 at 1, 5 at 9 .* 1\.00, 1\.00: 1 or 5 +1\.00, 1\.00: 1 or 5 +0\.00, 1\.00: 5\n/);
});

test("rwkv lab attention refuses what it cannot show", async () => {
  for (const [args, message] of [
    [["--task", "sum"], /--task must be one of copy, induction, recall/],
    [["--task", "copy", "--text", "a"], /--task has models and a text of its own/],
    [["--text", "a", "--file", "b"], /exclude each other/],
    [["--layer", "6"], /--layer must be an integer from 0 to 5/],
    [["--head", "x"], /--head must be an integer from 0/],
  ] as const) {
    const { code, stderr } = await rwkv(["lab", "attention", ...args]);
    assert.is(code, 1);
    assert.match(stderr, message);
  }
});

test.run();
