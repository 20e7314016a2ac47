// `inspect`: what it says of files of all kinds, and that it says it without reading them.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import {
  type InspectOptions,
  inspect as inspectAny,
  load,
  type ModelReport,
  type ModelSource,
  type TunedReport,
} from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { mergedFile, modelOf, pairs, part, pthOf, safetensorsOf as safetensorsOfParts } from "../model/tuned.ts";
import { fla, rwkvCpp } from "../weights/dialects.ts";
import { fixture } from "../weights/support.ts";
import { ggmf, safetensors, safetensorsOf } from "../weights/writers.ts";

/** What is said of a model. */
async function inspect(source: ModelSource, options: InspectOptions): Promise<ModelReport> {
  const report = await inspectAny(source, options);
  if (report.kind !== "model") throw new Error(`a ${report.kind}`);
  return report;
}

const of = (bytes: Uint8Array, options = {}) => inspect(new Uint8Array(bytes), { threads: 0, ...options });

test("what it says of memory, parameters and state is what loading finds", async () => {
  for (const name of [
    "v4.bf16.pth",
    "v5.2.bf16.pth",
    "v6.bf16.pth",
    "v7.bf16.pth",
    "v7.q8_0.gguf",
    "v7.small.safetensors",
  ]) {
    for (const options of [{ threads: 0 }, { threads: 2, weights: "q4_0", sessions: 3 }] as const) {
      const report = await inspect(`test/fixtures/${name}`, options);
      const model = await load(`test/fixtures/${name}`, options);
      const { info } = model;
      await model.close();
      assert.equal(
        [report.version, report.layers, report.width, report.heads, report.headSize, report.ffn, report.vocab],
        [info.version, info.layers, info.width, info.heads, info.headSize, info.ffn, info.vocab],
      );
      assert.equal([report.memory.bytes, report.stateBytes], [info.memory, info.stateBytes], name);
      // Vectors of zeros that no file has are not in `info`.
      const weights = Object.values(info.weights).reduce((a, b) => a + b);
      assert.ok(report.memory.weights >= weights && report.memory.weights <= weights * 1.01, name);
      assert.is(report.parameters, info.parameters, name);
      assert.is(report.name, info.name);
      assert.is(report.vocabulary.note, info.tokenizer.replace(/^none: /, ""));
    }
  }
});

test("number types, names and facts", async () => {
  const report = await of(fixture("v7.q8_0.gguf"));
  assert.is(report.container, "gguf");
  assert.equal(Object.keys(report.types).sort(), ["f32", "q8_0"]);
  assert.is(report.types.q8_0!.tensors, report.tensors.filter(({ type }) => type === "q8_0").length);
  assert.is(report.types.q8_0!.bytes, (report.types.q8_0!.numbers / 32) * 34);
  assert.equal(
    report.tensors.find(({ name }) => name === "head.weight"),
    {
      name: "head.weight",
      fileName: "output.weight",
      type: "q8_0",
      shape: [260, 128],
      transposed: false,
      bytes: (260 * 128 * 34) / 32,
    },
  );
  assert.is(report.facts.head_size, 64);
  assert.equal(report.unknownTensors, []);
  assert.equal(report.files, [{ name: "the given bytes", bytes: fixture("v7.q8_0.gguf").length }]);

  const pth = await of(fixture("v7.bf16.pth"));
  assert.equal(pth.files, [{ name: "the given bytes", bytes: fixture("v7.bf16.pth").length }]);
  assert.ok(pth.tensors.find(({ name }) => name === "blocks.0.att.w1")!.transposed);
  const cpp = await of(ggmf(await rwkvCpp("5.2")));
  assert.is(cpp.container, "ggmf");
  assert.is(cpp.tensors.find(({ name }) => name === "blocks.1.att.time_decay")!.form, "exp(-exp(x))");
  assert.is(cpp.facts.ln_x_epsilon, 1e-5);
  const more = [...(await fla()), { name: "optimizer.step", shape: [1], type: "F32", data: new Uint8Array(4) }];
  assert.equal((await of(safetensors(more))).unknownTensors, ["optimizer.step"]);
});

test("a model that is too large for the memory is looked at all the same, and not read", async () => {
  const [C, V] = [8192, 65536];
  const square = ["att.key", "att.value", "att.receptance", "att.output", "ffn.key", "ffn.value", "ffn.receptance"];
  const vectors = ["ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias", "att.time_decay", "att.time_first"];
  const mixes = ["att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"];
  const shapes: [name: string, shape: number[]][] = [
    ["emb.weight", [V, C]],
    ["head.weight", [V, C]],
    ["ln_out.weight", [C]],
    ["ln_out.bias", [C]],
    ...square.map((name): [string, number[]] => [`blocks.0.${name}.weight`, [C, C]]),
    ...[...vectors, ...mixes].map((name): [string, number[]] => [`blocks.0.${name}`, [C]]),
  ];
  let end = 0;
  const header: Record<string, object> = {};
  for (const [name, shape] of shapes) {
    const bytes = shape.reduce((a, b) => a * b, 4);
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const path = "build/inspect/huge.safetensors";
  mkdirSync("build/inspect", { recursive: true });
  const start = safetensorsOf(JSON.stringify(header));
  writeFileSync(path, start);
  truncateSync(path, start.length + end); // a hole, which takes no room on the disk
  try {
    const report = await inspect(path, { threads: 0 });
    assert.is(report.version, "4");
    assert.ok(report.memory.bytes > 5.5 * 2 ** 30);
    assert.not(report.memory.fits);
    assert.ok((await inspect(path, { threads: 0, weights: "q4_0" })).memory.fits);
  } finally {
    rmSync(path);
  }
});

test("LoRAs and tuned states", async () => {
  const tuned = async (bytes: Uint8Array) => (await inspectAny(new Uint8Array(bytes))) as TunedReport;
  const { matrices } = await modelOf("7");
  const norm = part("ln_out.bias", [128], 1);
  const lora = [...pairs(matrices.slice(0, 2), 4), ...pairs(matrices.slice(2, 4), 2), norm];
  for (const bytes of [pthOf(lora), safetensorsOfParts(lora)]) {
    const { kind, layers, matrices, ranks, states, whole, tensors, types } = await tuned(bytes);
    assert.equal([kind, layers, matrices, ranks, states, whole], ["lora", 1, 4, [2, 4], 0, ["ln_out.bias"]]);
    assert.is(tensors.length, 9);
    assert.is(types.f32!.tensors, 9);
  }
  const states = [0, 1].map((i) => part(`blocks.${i}.att.time_state`, [2, 64, 64], i));
  const { kind, layers, states: count, stateShape } = await tuned(pthOf(states));
  assert.equal([kind, layers, count, stateShape], ["state", 2, 2, [2, 64, 64]]);
  // A checkpoint that a state was merged into is a model.
  const merged = await of(mergedFile((await modelOf("7")).tensors, states));
  assert.equal(merged.unknownTensors, []);
});

test("warnings about what lies beside the file", async () => {
  mkdirSync("build/inspect/folder", { recursive: true });
  writeFileSync("build/inspect/folder/model.safetensors", fixture("v7.small.safetensors"));
  writeFileSync("build/inspect/folder/config.json", '{"model_type":');
  const warnings: string[] = [];
  await inspect("build/inspect/folder", { threads: 0, onWarning: (warning) => void warnings.push(warning) });
  assert.is(warnings.length, 1);
  assert.match(warnings[0]!, /config\.json: what should be JSON is not; the file is damaged\. It is ignored/);
});

test("errors are those of load", async () => {
  const failure = async (bytes: Uint8Array, options = {}) => {
    const error = (await of(bytes, options).catch((reason) => reason)) as { code: string; message: string };
    return `${error.code}: ${error.message}`;
  };
  assert.match(await failure(new Uint8Array(0)), /^weights: .* is empty/);
  assert.match(await failure(new TextEncoder().encode("<!doctype html>")), /^weights: .* is a web page/);
  assert.match(await failure(fixture("v7.f32.gguf").subarray(0, 500_000)), /^weights: .* is cut off/);
  assert.match(await failure(fixture("v7.f32.gguf"), { threads: 65 }), /^input: threads must be/);
  assert.match(await failure(fixture("v7.f32.gguf"), { weights: "q9" }), /^input: weights must be one of/);
});

test.run();
