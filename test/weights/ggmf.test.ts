import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Form, TensorInfo } from "../../src/types.ts";
import { DTYPES } from "../../src/weights/dtype.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { rwkvCpp } from "./dialects.ts";
import { numbers, official, officialTensors, read, sameTensors, source, turned, VERSIONS } from "./numbers.ts";
import { counted } from "./support.ts";
import { type Entry, ggmf } from "./writers.ts";

const open = (bytes: Uint8Array) => openWeights(source("some.bin", bytes));

const APPLIED: Record<Form, (x: number) => number> = {
  "exp(x)": Math.exp,
  "-exp(x)": (x) => -Math.exp(x),
  "exp(-exp(x))": (x) => Math.exp(-Math.exp(x)),
};

for (const version of VERSIONS)
  test(`version ${version}: official names, shapes and numbers, but for what the converter applied`, async () => {
    const file = await open(ggmf(await rwkvCpp(version)));
    assert.is(file.container, "ggmf");
    assert.equal(file.unknown, []);
    const formed = [...file.tensors.values()].filter((tensor) => tensor.form);
    const forms = new Map(formed.map(({ name, form }) => [name.slice("blocks.0.att.".length), form]));
    const decay = version === "4" ? "-exp(x)" : "exp(-exp(x))";
    const expected: Record<string, [string, string][]> = {
      "4": [["time_decay", decay]],
      "5.0": [
        ["time_decay", decay],
        ["time_first", "exp(x)"],
      ],
      "5.1": [
        ["time_decay", decay],
        ["time_first", "exp(x)"],
      ],
      "5.2": [["time_decay", decay]],
      "6": [],
      "7": [],
    };
    assert.equal(forms, new Map(expected[version]));
    assert.is(formed.length, 2 * forms.size);

    const originals = new Map((await officialTensors(version)).map((tensor) => [tensor.name, tensor.values]));
    for (const { name, form } of formed) {
      const values = await read(file.tensors.get(name)!);
      const wanted = Float32Array.from(originals.get(name)!, APPLIED[form!]);
      assert.equal(values, wanted, name);
    }
    // The others are exactly the official ones.
    const others = new Map<string, TensorInfo>(file.tensors);
    const names = official(version);
    for (const { name } of formed) {
      others.delete(name);
      delete names[name];
    }
    for (const [name, tensor] of others) {
      assert.equal(tensor.transposed, false, name);
      assert.equal(await numbers(tensor), await asStored(name, version), name);
    }
    assert.equal([...others.keys()].sort(), Object.keys(names).sort());
    if (formed.length === 0) await sameTensors(file, version);
    const facts = { block_count: 2, embedding_length: 128 };
    assert.equal(Object.fromEntries(file.facts), version.startsWith("5") ? { ...facts, ln_x_epsilon: 1e-5 } : facts);
  });

/** A tensor's official numbers, turned to (outputs, inputs). */
async function asStored(name: string, version: string): Promise<Float32Array> {
  const { shape, values } = (await tensorsOf(version)).get(name)!;
  const low = /\.(time_maa_w[12]|time_decay_w[12]|[wavg][12])$/.test(name);
  const sizes = [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
  return low ? turned(values, sizes) : values;
}
const cache = new Map<string, ReturnType<typeof byName>>();
const byName = async (version: string) => new Map((await officialTensors(version)).map((t) => [t.name, t]));
const tensorsOf = (version: string) => {
  const found = cache.get(version) ?? byName(version);
  cache.set(version, found);
  return found;
};

test("shapes of decay and bonus, which say how many heads there are", async () => {
  const shape = async (version: string, name: string) =>
    (await open(ggmf(await rwkvCpp(version)))).tensors.get(`blocks.1.att.${name}`)?.shape;
  assert.equal(await shape("4", "time_decay"), [128]);
  assert.equal(await shape("5.0", "time_decay"), [2]);
  assert.equal(await shape("5.1", "time_decay"), [2]);
  assert.equal(await shape("5.1", "time_first"), [2]);
  assert.equal(await shape("5.2", "time_decay"), [2, 64]);
  assert.equal(await shape("5.2", "time_faaaa"), [2, 64]);
  assert.equal(await shape("6", "time_decay"), [128]);
  assert.equal(await shape("6", "time_faaaa"), [2, 64]);
  assert.equal(await shape("7", "r_k"), [2, 64]);
});

const entry = (name: string, shape: number[], type: number, bytes: number): Entry => ({
  name,
  shape,
  type,
  data: new Uint8Array(bytes),
});

test("number types by rwkv.cpp's numbers", async () => {
  const types: [number, keyof typeof DTYPES][] = [
    [0, "f32"],
    [1, "f16"],
    [2, "q4_0"],
    [3, "q4_1"],
    [7, "q5_0"],
    [8, "q5_1"],
    [9, "q8_0"],
  ];
  for (const [type, dtype] of types) {
    const { values, bytes } = DTYPES[dtype];
    const made = (version: number) => ggmf([entry("head.weight", [3, 64], type, (192 / values) * bytes)], version);
    const { tensors } = await open(made(101));
    assert.equal([tensors.get("head.weight")?.dtype, tensors.get("head.weight")?.shape], [dtype, [3, 64]]);
    if (type < 2) await open(made(100));
    else
      await refused(
        open(made(100)),
        "unsupported",
        /^some\.bin: tensor "head\.weight" is q\S+ as rwkv\.cpp stored it before/,
      );
  }
  for (const [type, name] of [
    [4, "q4_1_o"],
    [5, "q4_2"],
    [6, "q4_3"],
  ] as const)
    await refused(
      open(ggmf([entry("head.weight", [3, 64], type, 99)])),
      "unsupported",
      new RegExp(`stored as ${name}, which rwkv\\.cpp has removed`),
    );
  await refused(
    open(ggmf([entry("head.weight", [3, 64], 10, 99)])),
    "unsupported",
    /stored as type 10, which is not known/,
  );
});

test("goes from tensor to tensor without reading their data", async () => {
  const entries = Array.from({ length: 40 }, (_, i) =>
    entry(`blocks.${i}.ffn.key.weight`, [512, 256], 0, 512 * 256 * 4),
  );
  const counting = counted(source("some.bin", ggmf(entries)));
  assert.is((await openWeights(counting)).tensors.size, 40);
  assert.ok(counting.bytesRead <= 41 * (64 << 10), `${counting.bytesRead}`);
});

const sound = ggmf([entry("ln_out.weight", [4], 0, 16), entry("ln_out.bias", [4], 0, 16)]);
const changed = (at: number, value: number) => {
  const bytes = sound.slice();
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
};

test("files that are cut off or damaged", async () => {
  assert.is((await open(sound)).tensors.size, 2);
  // Between the tensors a file may end: that it is not complete is the model's to find out.
  const first = 24 + 12 + 4 + 13 + 16;
  for (let length = 4; length < sound.length; length++) {
    if (length === first) continue;
    await refused(open(sound.subarray(0, length)), length === 24 ? "unsupported" : "weights", /^some\.bin /);
  }
  await refused(
    open(sound.subarray(0, sound.length - 1)),
    "weights",
    /tensor "ln_out\.bias" at byte 69 would end at byte \d+/,
  );
  for (const [at, value, code, pattern] of [
    [4, 99, "unsupported", /ggmf file of version 99/],
    [24, 0, "weights", /tensor at byte 24 has 0 dimensions/],
    [24, 4, "weights", /has 4 dimensions/],
    [28, 0, "weights", /has a name of 0 bytes/],
    [28, 257, "weights", /has a name of 257 bytes/],
    [36, 0, "weights", /has the impossible sizes 0/],
    [36, 2 ** 32 - 1, "weights", /tensor "ln_out\.weight" at byte 24 would end at byte/],
    [40, 0xffffffff, "weights", /name that is not UTF-8/],
  ] as const)
    await refused(open(changed(at, value)), code, /^some\.bin/, pattern);
  const rows = ggmf([entry("head.weight", [2, 33], 9, 70)]);
  await refused(open(rows), "weights", /\("head\.weight"\) has the impossible sizes 33 x 2 \(q8_0\)/);
  const huge = ggmf([
    { name: "head.weight", shape: [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], type: 0, data: new Uint8Array(8) },
  ]);
  await refused(open(huge), "weights", /impossible sizes/);
  await refused(open(ggmf([entry("a", [1], 0, 4)])), "unsupported", /1 tensors, none named as in RWKV/);
  const twice = ggmf([entry("ln_out.bias", [1], 0, 4), entry("ln_out.bias", [1], 0, 4)]);
  await refused(open(twice), "weights", /both hold ln_out\.bias/);
  const empty = ggmf(Array.from({ length: 65537 }, (_, i) => entry(`t${i}`, [1], 0, 4)));
  await refused(open(empty), "unsupported", /more than 65536 tensors/);
});

test.run();
