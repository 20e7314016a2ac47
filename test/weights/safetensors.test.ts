import { test } from "uvu";
import * as assert from "uvu/assert";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { entries, entry, fla, transformersName } from "./dialects.ts";
import { officialTensors, sameTensors, source, VERSIONS } from "./numbers.ts";
import { counted, fixture, joined, u64 } from "./support.ts";
import { type Entry, safetensors, safetensorsOf } from "./writers.ts";

const open = (bytes: Uint8Array, beside?: Record<string, Uint8Array>) =>
  openWeights(source("some.safetensors", bytes, beside));
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

for (const version of VERSIONS)
  test(`version ${version}: official names`, async () => {
    const file = await open(safetensors(entries(await officialTensors(version)), { __metadata__: { format: "pt" } }));
    assert.is(file.container, "safetensors");
    await sameTensors(file, version);
    assert.is(file.facts.size, 0);
  });

test("leading ones in vectors, a head bias, no ln0: as official checkpoints vary", async () => {
  const file = await open(fixture("v7.small.safetensors"));
  assert.equal(file.tensors.get("blocks.1.att.x_r")?.shape, [48]);
  assert.equal(file.tensors.get("blocks.1.att.r_k")?.shape, [3, 16]);
  assert.equal(file.tensors.get("head.bias")?.shape, [12]);
  assert.not(file.tensors.has("blocks.0.ln0.weight"));
  assert.equal(file.unknown, []);
});

test("the first layer's value residual, which is never used, is left out", async () => {
  const names = ["blocks.0.att.v0", "blocks.0.att.v1", "blocks.1.att.v0", "blocks.01.att.v0", "blocks.0.att.toString"];
  const file = await open(safetensors(names.map((name) => entry(name, [1, 1, 4], [1, 2, 3, 4]))));
  assert.equal([...file.tensors.keys()], ["blocks.1.att.v0"]);
  assert.equal(file.unknown, names.slice(3));
});

test("F16 and BF16; other types only where nobody wants them", async () => {
  const of = (type: string, name: string, width: number): Entry => ({
    name,
    shape: [4],
    type,
    data: new Uint8Array(4 * width),
  });
  const file = await open(
    safetensors([of("F16", "ln_out.weight", 2), of("BF16", "ln_out.bias", 2), of("I64", "steps", 8)]),
  );
  assert.equal(
    [...file.tensors.values()].map(({ dtype, bytes }) => [dtype, bytes]),
    [
      ["f16", 8],
      ["bf16", 8],
    ],
  );
  assert.equal(file.unknown, ["steps"]);
  for (const [type, width] of [
    ["F64", 8],
    ["I8", 1],
    ["F8_E4M3", 1],
  ] as const)
    await refused(
      open(safetensors([of(type, "ln_out.bias", width)])),
      "unsupported",
      new RegExp(`^some\\.safetensors: tensor "ln_out\\.bias" is stored as ${type}`),
    );
});

for (const version of ["4", "5.2", "6"])
  test(`version ${version}: the names of models made for transformers`, async () => {
    const tensors = (await officialTensors(version)).map((tensor) => ({
      ...tensor,
      name: transformersName(tensor.name),
    }));
    const config = json({ model_type: "rwkv", layer_norm_epsilon: 1e-5, head_size: 64 });
    const file = await open(safetensors(entries(tensors)), { "config.json": config });
    await sameTensors(file, version);
    assert.equal(Object.fromEntries(file.facts), { layer_norm_epsilon: 1e-5, head_size: 64 });
    assert.is(file.tensors.get("emb.weight")?.fileName, "rwkv.embeddings.weight");
  });

const CONFIG = { "config.json": json({ model_type: "rwkv7", head_dim: 64, norm_eps: 1e-5 }) };

test("version 7: the names and orientation of fla", async () => {
  const file = await open(safetensors(await fla()), CONFIG);
  await sameTensors(file, "7");
  assert.is(file.tensors.get("blocks.0.att.w1")?.transposed, false);
  assert.equal(Object.fromEntries(file.facts), { head_size: 64, layer_norm_epsilon: 1e-5 });
  await sameTensors(await open(safetensors(await fla(true))), "7");
});

test("config.json: only beside models made for transformers, only of RWKV, and sound", async () => {
  const tiny = safetensors([entry("model.layers.0.attn.k_k", [4], [1, 2, 3, 4])]);
  const facts = async (bytes: Uint8Array, config: Uint8Array) =>
    Object.fromEntries((await open(bytes, { "config.json": config })).facts);
  assert.equal(await facts(tiny, json({ model_type: "llama", norm_eps: 1e-6 })), {});
  assert.equal(await facts(tiny, json({ model_type: "rwkv7", norm_eps: null, layer_norm_epsilon: 2e-5 })), {
    layer_norm_epsilon: 2e-5,
  });
  await refused(facts(tiny, json([])), "weights", /^config\.json: it holds no object/);
  const warnings = async (bytes: Uint8Array, config: Uint8Array) =>
    (await open(bytes, { "config.json": config })).warnings;
  assert.is(await warnings(tiny, json({ model_type: "rwkv7" })), undefined);
  assert.equal(await warnings(tiny, json({ model_type: "llama" })), [
    'config.json is ignored: its model_type is "llama", which is no RWKV.',
  ]);
  assert.equal(await warnings(tiny, json({})), ["config.json is ignored: its model_type is none, which is no RWKV."]);
  const official = safetensors([entry("ln_out.bias", [1], [1])]);
  assert.is(await warnings(official, json({ model_type: "llama" })), undefined);
  assert.match((await warnings(official, new Uint8Array([0x7b])))![0], /^config\.json: .*damaged\. It is ignored/);
  assert.equal(
    await facts(safetensors([entry("ln_out.bias", [1], [1])]), json({ model_type: "rwkv7", norm_eps: 1 })),
    {},
  );
  await refused(
    facts(tiny, json({ model_type: "rwkv7", head_dim: "64" })),
    "weights",
    /^config\.json: head_dim is "64"/,
  );
  await refused(facts(tiny, json({ model_type: "rwkv7", norm_eps: -1 })), "weights", /^config\.json: norm_eps is -1/);
  await refused(facts(tiny, new Uint8Array([0x7b])), "weights", /^config\.json: what should be JSON/);
  await refused(facts(tiny, new Uint8Array(2 << 20)), "unsupported", /^config\.json is longer/);
});

/** The same model in two files and an index. */
async function sharded(): Promise<Record<string, Uint8Array>> {
  const all = await fla();
  const shards: Record<string, Entry[]> = {
    "model-00001-of-00002.safetensors": all.slice(0, 30),
    "model-00002-of-00002.safetensors": all.slice(30),
  };
  const names = Object.entries(shards).flatMap(([file, entries]) => entries.map(({ name }) => [name, file]));
  return {
    ...CONFIG,
    "model.safetensors.index.json": json({ metadata: {}, weight_map: Object.fromEntries(names) }),
    ...Object.fromEntries(Object.entries(shards).map(([file, entries]) => [file, safetensors(entries)])),
  };
}
const INDEX = "model.safetensors.index.json";
const FIRST = "model-00001-of-00002.safetensors";
const SECOND = "model-00002-of-00002.safetensors";

test("shards: through the index, or through any of them", async () => {
  const files = await sharded();
  for (const name of [INDEX, FIRST, SECOND])
    for (const before of ["", "folder/", "C:\\models\\", "https://example.org/a/"]) {
      const file = await openWeights(source(before + name, files[name], files));
      assert.is(file.name, before + name);
      assert.is(file.tensors.get("emb.weight")?.source.name.endsWith(FIRST), true);
      assert.is(file.tensors.get("head.weight")?.source.name.endsWith(SECOND), true);
      if (before === "") await sameTensors(file, "7");
    }
  const file = await openWeights(source(`https://example.org/${FIRST}?download=true#x`, files[FIRST], files));
  assert.is(file.tensors.size, 69);
});

test("shards are closed with the file, and when opening fails", async () => {
  const files = await sharded();
  const open: string[] = [];
  const tracked = (name: string): ReturnType<typeof source> => {
    open.push(name);
    return {
      ...source(name, files[name]),
      sibling: async (beside) => (beside in files ? tracked(beside) : undefined),
      close: async () => void open.splice(open.indexOf(name), 1),
    };
  };
  const file = await openWeights(tracked(INDEX));
  assert.equal(open, [INDEX, FIRST, SECOND, "config.json"]);
  await file.close();
  assert.equal(open, []);
  delete files[SECOND];
  await refused(openWeights(tracked(INDEX)), "weights", /the file "model-00002-of-00002\.safetensors" .* is missing/);
  assert.equal(open, []);
});

test("shards and index that contradict each other", async () => {
  const files = await sharded();
  const map = JSON.parse(new TextDecoder().decode(files[INDEX])).weight_map;
  const tried = (changed: Record<string, Uint8Array>) => openWeights(source(INDEX, changed[INDEX], changed));
  const index = (weight_map: unknown) => tried({ ...files, [INDEX]: json({ weight_map }) });
  await refused(
    index({ ...map, "model.extra": FIRST }),
    "weights",
    /"model-00001.*" should hold tensor "model\.extra"/,
  );
  await refused(index(undefined), "weights", /has no weight_map/);
  await refused(index([]), "weights", /has no weight_map/);
  await refused(index({ a: 1 }), "weights", /tensor "a" is said to be in 1/);
  await refused(index({ a: "config.json" }), "weights", /tensor "a" is said to be in "config\.json"/);
  for (const name of ["../a.safetensors", "/a.safetensors", "a\\b.safetensors"])
    await refused(index({ a: name }), "weights", /is not the name of a file beside it/);
  const many = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, `${i}.safetensors`]));
  await refused(index(many), "unsupported", /more than 1024 files/);
  await refused(tried({ ...files, [SECOND]: files[FIRST] }), "weights", /both hold tensor/);
  await refused(
    tried({ ...files, [SECOND]: files[SECOND].subarray(0, -1) }),
    "weights",
    /^model-00002-of-00002\.safetensors is cut off/,
  );
  await refused(
    openWeights(source(FIRST, files[FIRST])),
    "unsupported",
    /is one of several files, but "model\.safetensors\.index\.json" cannot be found from here/,
  );
  await refused(
    openWeights(source(FIRST, files[FIRST], {})),
    "weights",
    /"model\.safetensors\.index\.json".* is missing/,
  );
});

test("reads the header only", async () => {
  const data = new Uint8Array(4 << 20);
  const counting = counted(
    source("some.safetensors", safetensors([{ name: "emb.weight", shape: [1024, 1024], type: "F32", data }])),
  );
  await openWeights(counting);
  assert.ok(counting.bytesRead < 300_000, `${counting.bytesRead}`);
  const long = { __metadata__: { a: "x".repeat(1 << 20) } };
  assert.is((await open(safetensors([entry("ln_out.bias", [1], [1])], long))).tensors.size, 1);
});

const one = (value: unknown, data = 16) =>
  safetensorsOf(JSON.stringify({ "ln_out.bias": value }), new Uint8Array(data));
const ok = { dtype: "F32", shape: [4], data_offsets: [0, 16] };
const two = (second: unknown, data = 32) =>
  safetensorsOf(JSON.stringify({ "ln_out.bias": ok, "ln_out.weight": second }), new Uint8Array(data));

const wrong: [what: string, file: Uint8Array, pattern: RegExp][] = [
  [
    "a header longer than the file",
    joined(Uint8Array.from(u64(1000)), json({ a: 1 })),
    /header should take 1000 bytes/,
  ],
  ["a header that is no JSON", safetensorsOf("{ and so on"), /\(header\): what should be JSON/],
  ["a header that is not UTF-8", joined(Uint8Array.from([...u64(4), 0x7b, 0xff, 0xff, 0x7d])), /what should be JSON/],
  ["a header nested without end", safetensorsOf(`{"a":${"[".repeat(1 << 20)}`), /nested deeper than 8/],
  ["a tensor that is a number", one(1), /"ln_out\.bias" is not described/],
  ["no dtype", one({ ...ok, dtype: 1 }), /has no dtype/],
  ["sizes that are none", one({ ...ok, shape: [-4] }), /impossible sizes/],
  ["sizes that are fractions", one({ ...ok, shape: [1.5] }), /impossible sizes/],
  ["sizes beyond exact numbers", one({ ...ok, shape: [1e300] }), /impossible sizes/],
  ["nine sizes", one({ ...ok, shape: Array(9).fill(1) }), /impossible sizes/],
  ["three offsets", one({ ...ok, data_offsets: [0, 16, 32] }), /impossible offsets/],
  ["offsets in the wrong order", one({ ...ok, data_offsets: [16, 0] }), /impossible offsets/],
  ["sizes and offsets that differ", one({ ...ok, shape: [5] }), /takes 20 bytes, but has 16/],
  ["sizes whose product is huge", one({ ...ok, shape: [2 ** 52, 2 ** 52] }), /takes \S+ bytes, but has 16/],
  ["a hole at the start", one({ ...ok, data_offsets: [4, 20] }, 20), /starts at byte \d+, but the one before it ends/],
  ["a hole", two({ ...ok, data_offsets: [20, 36] }, 36), /"ln_out\.weight" starts at byte/],
  ["tensors that overlap", two({ ...ok, data_offsets: [12, 28] }, 28), /"ln_out\.weight" starts at byte/],
  ["tensors in one place", two({ ...ok, data_offsets: [0, 16] }, 16), /starts at byte/],
  ["data behind the last tensor", one(ok, 17), /its tensors end at byte \d+, but the file at byte/],
  ["data that is cut off", one(ok, 12), /is cut off: tensor "ln_out\.bias" ends at byte .* \(4 bytes are missing\)/],
  [
    "an empty tensor",
    safetensorsOf('{"ln_out.bias":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    /sizes 0 \(f32\) is empty/,
  ],
  [
    "a matrix of three sizes",
    safetensors([entry("head.weight", [2, 2, 1], [1, 2, 3, 4])]),
    /was expected to be a matrix/,
  ],
  [
    "a vector that cannot be cut",
    safetensors([entry("model.layers.0.attn.x_x", [4], [1, 2, 3, 4])]),
    /cannot be cut into 6 parts/,
  ],
  [
    "two tensors for one name",
    safetensors([
      entry("model.layers.0.attn.x_x", [6], [1, 2, 3, 4, 5, 6]),
      entry("model.layers.0.attn.x_k", [1], [1]),
    ]),
    /both hold blocks\.0\.att\.x_k/,
  ],
];
for (const [what, file, pattern] of wrong)
  test(`refuses ${what}`, () => refused(open(file), "weights", /^some\.safetensors/, pattern));

test("headers and names beyond the limits, and models that are not RWKV's", async () => {
  const huge = new Uint8Array(20 << 20);
  huge.set([...u64(17 << 20), 0x7b]);
  await refused(open(huge), "unsupported", /header is longer than 16777216 bytes/);
  await refused(open(safetensors([entry("x".repeat(300), [1], [1])])), "unsupported", /name is longer than 256/);
  const empty = { dtype: "F32", shape: [0], data_offsets: [0, 0] };
  const many = Object.fromEntries(Array.from({ length: (1 << 16) + 1 }, (_, i) => [i, empty]));
  await refused(open(safetensorsOf(JSON.stringify(many))), "unsupported", /more than 65536 tensors/);
  await refused(open(safetensorsOf("{}")), "unsupported", /holds no tensors/);
  const llama = safetensors([entry("model.layers.0.self_attn.q_proj.weight", [1, 1], [1])]);
  await refused(open(llama), "unsupported", /1 tensors, none named as in RWKV/);
});

test("newer models and relatives are refused by what they are", async () => {
  const known = "blocks.0.att.r_k";
  for (const [name, pattern] of [
    ["blocks.0.ffn.s_emb.weight", /is RWKV-7a, with DeepEmbed.*"blocks\.0\.ffn\.s_emb\.weight".*RWKV-4 to RWKV-7/],
    ["blocks.11.ffn.s0", /is RWKV-7a/],
    ["blocks.3.qkv.k_emb_x.weight", /is RWKV-7b/],
    ["blocks.3.ffn.enn.weight", /preview of RWKV-8/],
    ["blocks.0.rosa.rosa_qkv.emb", /is RWKV-8 with ROSA/],
    ["rosa1.x_q", undefined],
    ["blocks.0.rosa1.q.weight", /is RWKV-8 with ROSA/],
    ["blocks.0.att.time_mix_w1", /is RWKV-6 with its tensors renamed for web-rwkv/],
    ["blocks.0.att.key.bias", /a relative of RWKV with biases/],
    ["model.layers.0.attn.r_proj.bias", /a relative of RWKV with biases/],
  ] as const) {
    const file = open(safetensors([entry(known, [1, 1], [1]), entry(name, [1], [1])]));
    if (pattern) await refused(file, "unsupported", /^some\.safetensors is /, pattern);
    else assert.equal((await file).unknown, [name]);
  }
});

test.run();
