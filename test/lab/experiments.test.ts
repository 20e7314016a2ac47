// rwkv lab state, context and fidelity, small: what they find can be checked against what is known otherwise.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { distanceOf } from "../../src/lab/distance.ts";
import { distancesTo, gainOf } from "../../src/lab/needle.ts";
import { rwkv } from "../cli/rwkv.ts";

const folder = mkdtempSync(join(tmpdir(), "rwkv-lab-"));
test.after(() => rmSync(folder, { recursive: true }));

async function json(args: string[]) {
  const file = join(folder, "found.json");
  const { code, stderr } = await rwkv(["lab", ...args, "--json", file]);
  assert.is(code, 0, stderr);
  return JSON.parse(readFileSync(file, "utf8"));
}

test("a distance: equal logits have none, a constant does not count, NaN is no small difference", () => {
  const rows = [
    [1, 2, 3],
    [0, 5, -1],
  ];
  const tokens = [0, 2];
  const none = distanceOf(
    rows.map((row) => row.map((n) => n + 7)),
    rows,
    tokens,
  );
  assert.ok(none.logits < 1e-12 && none.kl < 1e-12 && none.top1 === 1);
  assert.ok(Math.abs(none.perplexity - (Math.exp(-2) + Math.exp(-1) + 1)) < 1e-12);
  const other = distanceOf([[3, 2, 1], rows[1]], rows, tokens);
  assert.is(other.top1, 0.5);
  const p = [Math.exp(1), Math.exp(2), Math.exp(3)].map((n) => n / (Math.exp(1) + Math.exp(2) + Math.exp(3)));
  assert.ok(Math.abs(other.kl - (p[0] * -2 + p[2] * 2) / 2) < 1e-12);
  assert.ok(Number.isNaN(distanceOf([[Number.NaN, 2, 1], rows[1]], rows, tokens).logits));
});

test("a fact's gain: only the planted word's counts", () => {
  const { gain, error, right } = gainOf([
    [-1, -5, -3],
    [-2, -4, -3],
    [-2, -5, -2],
  ]);
  assert.ok(Math.abs(gain - 1) < 1e-12);
  assert.ok(error < 1e-12);
  assert.is(right, 3);
  assert.is(
    gainOf([
      [-1, -5],
      [-1, -5],
    ]).right,
    0,
  );
  assert.equal(distancesTo(300), [0, 10, 30, 100, 300]);
});

test("rwkv lab fidelity: floats are the reference's to rounding, fewer bits are further, every container is the same", async () => {
  const kept = join(folder, "kept");
  const { rows } = await json(["fidelity", "--tokens", "12", "--keep", kept]);
  assert.is(rows.length, 6 * 8 + 2 * 4);
  for (const row of rows) {
    if (["f32", "bf16", "f16"].includes(row.weights)) {
      assert.ok(row.logits < 2e-5, `${row.version} ${row.weights} ${row.logits}`);
      assert.is(row.top1, 1);
    } else assert.ok(row.logits > 1e-3 && row.kl > 0, `${row.version} ${row.weights}`);
  }
  const one = (version: string, container: string, weights: string) =>
    rows.find(
      (row: Record<string, string>) =>
        row.version === version && row.container === container && row.weights === weights,
    );
  for (const version of ["6", "7"])
    assert.is(one(version, "gguf", "f32").hash, one(version, "safetensors", "f32").hash);
  for (const version of ["4", "5.2", "6", "7"])
    assert.ok(one(version, "safetensors", "→ q8_0").kl < one(version, "safetensors", "→ q4_0").kl);

  // Logits of another program: here a quarter too large, all of them.
  assert.ok(readdirSync(kept).includes("v4.f32.safetensors"));
  const count = JSON.parse(readFileSync(join(kept, "tokens.json"), "utf8"))["v4.f32.safetensors"].length * 260;
  writeFileSync(join(kept, "v4.f32.safetensors.another 1.0.logits"), new Float32Array(count).fill(1));
  const { rows: more } = await json(["fidelity", "--tokens", "12", "--keep", kept]);
  const foreign = more.find((row: { by: string }) => row.by === "another 1.0");
  assert.is(foreign.version, "4");
  assert.ok(Math.abs(foreign.perplexity - 260) < 1e-6, "all tokens are as likely");
  writeFileSync(join(kept, "v4.f32.safetensors.another 1.0.logits"), new Float32Array(3));
  const refused = await rwkv(["lab", "fidelity", "--tokens", "12", "--keep", kept]);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /has not 12 x 260 f32: it belongs to another text or model; delete it/);
});

test("rwkv lab fidelity --merge: runs with the same bits are one line", async () => {
  const row = { model: "m", version: "7", container: "gguf", weights: "f32", logits: 1e-6, kl: 0, worstKl: 0, top1: 1 };
  const more = { perplexity: 2, referencePerplexity: 2 };
  const files = [
    { by: "rwkv-wasm, Node 20", hash: "a" },
    { by: "rwkv-wasm, Bun 1", hash: "a" },
    { by: "rwkv-wasm, Deno 2", hash: "b" },
  ].map((own, i) => {
    const file = join(folder, `${i}.json`);
    writeFileSync(file, JSON.stringify({ rows: [{ ...row, ...more, ...own }] }));
    return ["--merge", file];
  });
  const { stdout } = await rwkv(["lab", "fidelity", ...files.flat()]);
  assert.match(stdout, /rwkv-wasm, Node 20 = Bun 1\n.*rwkv-wasm, Deno 2\n$/);
  const bad = join(folder, "bad.json");
  for (const json of ["[]", '{"rows":[]}', '{"rows":[{"by":"x","logits":1}]}']) {
    writeFileSync(bad, json);
    const { stderr } = await rwkv(["lab", "fidelity", "--merge", bad]);
    assert.match(stderr, /is not what rwkv lab fidelity --json writes/);
  }
  // What is no number is null in JSON, and stays what it is.
  writeFileSync(bad, JSON.stringify({ rows: [{ ...row, ...more, by: "x", kl: Number.NaN, perplexity: Number.NaN }] }));
  assert.match((await rwkv(["lab", "fidelity", "--merge", bad])).stdout, / NaN .* NaN \/ 2\.000/);
});

test("what makes no sense is said before anything is measured", async () => {
  const file = join(folder, "a file");
  writeFileSync(file, "");
  const out = join(folder, "out");
  for (const [args, words] of [
    [["attention", "--json", join(file, "x.json")], /cannot write a file in .*a file: it is not in a folder/],
    [["attention", "--svg", ""], /the file to write has no name/],
    [["state", "--json", out, "--svg", join(folder, ".", "out")], /--json and --svg cannot be the same file/],
    [["attention", "--task", "copy", "--token", "1"], /--task has models and a text of its own, and shows all of them/],
    [["attention", "--file", file], /the text is empty/],
    [["state", "--file", file], /the text is empty/],
    [["fidelity", "--merge", file, "--keep", folder], /--merge measures nothing, so it takes no --model and no --keep/],
    [["fidelity", "--keep", file], /cannot make the folder .*a file: it is a file/],
    [["fidelity", "--keep", join(folder, "none", "x")], /cannot make the folder .*x: there is no such folder/],
    [["scaling", "--with", join(folder, "none")], /the findings .*none cannot be read: there is no such file/],
    [["sizes", "--folder", join(folder, "none")], /no file can be written in .*none: there is no such folder/],
  ] as const) {
    const { code, stdout, stderr } = await rwkv(["lab", ...args]);
    assert.is(code, 1);
    assert.match(stderr, words);
    assert.is(stdout, "");
  }
});

test("rwkv lab context: a stream leaves the state sound, and the engine's memory alone", async () => {
  const found = await json(["context", "--tokens", "10000", "--model", "test/fixtures/v7.q8_0.gguf"]);
  assert.is(found.tokens, 10_000);
  assert.is(found.finite, true);
  assert.is(found.pieces.length, 100);
  assert.ok(found.norms[0] > 0 && found.norms[1] < 1e6);
  assert.ok(Number.isFinite(found.inTurn));
});

test("rwkv lab state: ranks and half-lives in their bounds, for every kind of state", async () => {
  for (const version of ["4", "5.2", "6", "7"]) {
    const model = `test/fixtures/v${version}.bf16.pth`;
    const found = await json(["state", "--tokens", "40", "--model", model]);
    assert.is(found.tokens, 40);
    for (const { layers } of found.looks)
      for (const { norm, rank } of layers.flat()) {
        assert.ok(norm > 0);
        assert.ok(version === "4" ? rank === null : rank >= 1 && rank <= 64);
      }
    for (const { least, median, most } of found.halfLives.flat())
      assert.ok(0 < least && least <= median && median <= most);
  }
});

test("rwkv lab state --needle: a fact is found next to where it was planted", async () => {
  const { found } = await json(["state", "--needle", "--far", "10"]);
  assert.is(found.length, 2);
  assert.is(found[0].right, 8);
  assert.ok(found[0].gain > found[1].gain && found[1].gain > 0);
});

test.run();
