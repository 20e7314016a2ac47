// `inspect`: what it says of files of all kinds. (That it does so without reading them: test/api/files.test.ts.)
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
import { at, bytesAt } from "../files.ts";
import { mergedFile, modelOf, pairs, part, pthOf, safetensorsOf as safetensorsOfParts } from "../model/tuned.ts";
import { fla, rwkvCpp } from "../weights/dialects.ts";
import { ggmf, safetensors } from "../weights/writers.ts";

/** What is said of a model. */
async function inspect(source: ModelSource, options: InspectOptions): Promise<ModelReport> {
  const report = await inspectAny(source, options);
  if (report.kind !== "model") throw new Error(`a ${report.kind}`);
  return report;
}

/** A file of test/fixtures. */
const fixture = (name: string) => bytesAt(`test/fixtures/${name}`);
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
      const report = await inspect(at(`test/fixtures/${name}`), options);
      const model = await load(at(`test/fixtures/${name}`), options);
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
  const gguf = await fixture("v7.q8_0.gguf");
  const report = await of(gguf);
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
  assert.equal(report.files, [{ name: "the given bytes", bytes: gguf.length }]);

  const checkpoint = await fixture("v7.bf16.pth");
  const pth = await of(checkpoint);
  assert.equal(pth.files, [{ name: "the given bytes", bytes: checkpoint.length }]);
  assert.ok(pth.tensors.find(({ name }) => name === "blocks.0.att.w1")!.transposed);
  const cpp = await of(ggmf(await rwkvCpp("5.2")));
  assert.is(cpp.container, "ggmf");
  assert.is(cpp.tensors.find(({ name }) => name === "blocks.1.att.time_decay")!.form, "exp(-exp(x))");
  assert.is(cpp.facts.ln_x_epsilon, 1e-5);
  const more = [...(await fla()), { name: "optimizer.step", shape: [1], type: "F32", data: new Uint8Array(4) }];
  assert.equal((await of(safetensors(more))).unknownTensors, ["optimizer.step"]);
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

test("errors are those of load", async () => {
  const failure = async (bytes: Uint8Array, options = {}) => {
    const error = (await of(bytes, options).catch((reason) => reason)) as { code: string; message: string };
    return `${error.code}: ${error.message}`;
  };
  assert.match(await failure(new Uint8Array(0)), /^weights: .* is empty/);
  assert.match(await failure(new TextEncoder().encode("<!doctype html>")), /^weights: .* is a web page/);
  const whole = await fixture("v7.f32.gguf");
  assert.match(await failure(whole.subarray(0, 500_000)), /^weights: .* is cut off/);
  assert.match(await failure(whole, { threads: 65 }), /^input: threads must be/);
  assert.match(await failure(whole, { weights: "q9" }), /^input: weights must be one of/);
});

test.run();
