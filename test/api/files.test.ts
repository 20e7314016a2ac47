// `convert` and `inspect` with paths: what lies beside a file, and files that are too large to be read. Where there are files.
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import {
  type ConvertOptions,
  convert,
  type InspectOptions,
  inspect as inspectAny,
  load,
  type ModelReport,
  type ModelSource,
} from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refused } from "../refused.ts";
import { safetensorsOf } from "../weights/writers.ts";

// Several runtimes may do this at the same time.
const folder = `build/api-files-${process.pid}`;
mkdirSync(folder, { recursive: true });
test.after(() => rmSync(folder, { recursive: true }));

/** What is said of a model. */
async function inspect(source: ModelSource, options: InspectOptions): Promise<ModelReport> {
  const report = await inspectAny(source, options);
  if (report.kind !== "model") throw new Error(`a ${report.kind}`);
  return report;
}

async function converted(from: string, options?: ConvertOptions): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  await convert(from, { write: async (bytes) => void parts.push(bytes.slice()) }, options);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Where two files differ, instead of all of both. */
function same(a: Uint8Array, b: Uint8Array): void {
  assert.is(a.length, b.length);
  assert.is(
    a.findIndex((byte, i) => byte !== b[i]),
    -1,
  );
}

test("convert takes the vocabulary that lies beside the file", async () => {
  const path = `${folder}/beside.pth`;
  const vocabulary = Array.from({ length: 200 }, (_, i) => `${i + 1} 't${i}' ${`t${i}`.length}`).join("\n");
  copyFileSync("test/fixtures/v7.bf16.pth", path);
  writeFileSync(`${folder}/beside.vocab.txt`, vocabulary);
  const beside = await converted(path);
  same(beside, await converted(path, { vocabulary }));
  const model = await load(beside, { threads: 0 });
  assert.equal([...model.tokenizer.encode("t7t19")], [8, 20]);
  await model.close();
});

test("convert gives the same from a path as from a file of that name", async () => {
  const bytes: Uint8Array<ArrayBuffer>[] = [];
  const given = new File([readFileSync("test/fixtures/v7.bf16.pth")], "v7.bf16.pth");
  await convert(given, { write: async (part) => void bytes.push(part.slice()) });
  same(await converted("test/fixtures/v7.bf16.pth"), new Uint8Array(await new Blob(bytes).arrayBuffer()));
  await refused(converted("none.gguf"), "input", /^none\.gguf cannot be opened/);
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
  const path = `${folder}/huge.safetensors`;
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

test("warnings about what lies beside the file", async () => {
  mkdirSync(`${folder}/several`, { recursive: true });
  copyFileSync("test/fixtures/v7.small.safetensors", `${folder}/several/model.safetensors`);
  writeFileSync(`${folder}/several/config.json`, '{"model_type":');
  const warnings: string[] = [];
  await inspect(`${folder}/several`, { threads: 0, onWarning: (warning) => void warnings.push(warning) });
  assert.is(warnings.length, 1);
  assert.match(warnings[0]!, /config\.json: what should be JSON is not; the file is damaged\. It is ignored/);
});

test.run();
