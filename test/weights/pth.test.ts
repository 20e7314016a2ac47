import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { numbers, officialTensors, sameTensors, VERSIONS } from "./numbers.ts";
import { counted, fixture } from "./support.ts";
import { f32Bytes, legacyPth, pth, py, torchTensor, type View, zip } from "./writers.ts";

const open = (bytes: Uint8Array) => openWeights(bytesSource("some.pth", bytes));
const ascii = (text: string) => new TextEncoder().encode(text);

for (const version of VERSIONS)
  test(`v${version}.bf16.pth holds the official checkpoint's tensors`, async () => {
    const file = await open(fixture(`v${version}.bf16.pth`));
    assert.is(file.container, "pth");
    assert.is(file.tensors.get("emb.weight")?.dtype, "bf16");
    await sameTensors(file, version);
  });

test("shapes of version 6 and 7: low-rank matrices are turned, bonuses are per head", async () => {
  const v6 = await open(fixture("v6.bf16.pth"));
  const about = (file: typeof v6, name: string) => {
    const { shape, transposed } = file.tensors.get(`blocks.1.att.${name}`)!;
    return [shape, transposed];
  };
  assert.equal(about(v6, "time_maa_x"), [[128], false]);
  assert.equal(about(v6, "time_maa_w1"), [[160, 128], true]);
  assert.equal(about(v6, "time_maa_w2"), [[5, 128, 32], true]);
  assert.equal(about(v6, "time_decay"), [[128], false]);
  assert.equal(about(v6, "time_decay_w1"), [[64, 128], true]);
  assert.equal(about(v6, "time_decay_w2"), [[128, 64], true]);
  assert.equal(about(v6, "time_faaaa"), [[2, 64], false]);
  const v7 = await open(fixture("v7.bf16.pth"));
  assert.equal(about(v7, "w1"), [[32, 128], true]);
  assert.equal(about(v7, "g2"), [[128, 64], true]);
  assert.equal(about(v7, "r_k"), [[2, 64], false]);
  const v5 = await open(fixture("v5.2.bf16.pth"));
  assert.equal(about(v5, "time_decay"), [[2, 64], false]);
  assert.equal(about(await open(fixture("v5.1.bf16.pth")), "time_decay"), [[2], false]);
});

test("opening reads the directory and the pickle, not the data", async () => {
  const bytes = fixture("v7.bf16.pth");
  const source = counted(bytesSource("some.pth", bytes));
  const file = await openWeights(source);
  // The end of the file is searched twice for the directory.
  assert.ok(source.bytesRead < 160_000, `${source.bytesRead}`);
  const { bytesRead } = source;
  await file.tensors.get("head.weight")!.source.read(0, 100);
  await file.tensors.get("head.weight")!.source.read(100, 100);
  assert.is(source.bytesRead - bytesRead, 200 + 30 + "v7.bf16/data/68".length);
  await file.close();
  await refused(source.read(0, 1), "closed");
});

/** A model's tensors as pickled, each with a storage of its own, and the storages. */
async function checkpoint(version: string) {
  const storages: Record<string, Uint8Array> = {};
  const items: [string, number[]][] = [];
  for (const { name, shape, values } of await officialTensors(version)) {
    const storage = `s${items.length}`;
    storages[storage] = f32Bytes(values);
    items.push([name, torchTensor({ storage, length: values.length, sizes: shape })]);
  }
  return { storages, items };
}
const dict = (items: [string, number[]][]) =>
  py.dict(...items.map(([k, v]) => [py.text(k), v] as [number[], number[]]));

test("the older form of torch.save", async () => {
  const { storages, items } = await checkpoint("6");
  await sameTensors(await open(legacyPth(dict(items), storages)), "6");
  const file = await open(
    legacyPth(
      dict([["emb.weight", torchTensor({ storage: "a", length: 6, type: "Half", sizes: [3, 2] })]]),
      { a: new Uint8Array(12) },
      2,
    ),
  );
  const { dtype, shape, bytes } = file.tensors.get("emb.weight")!;
  assert.equal([dtype, shape, bytes], ["f16", [3, 2], 12]);
});

test("sizes and places of 64 bits, as in archives of more than 4 GiB", async () => {
  const { storages, items } = await checkpoint("4");
  await sameTensors(await open(pth(dict(items), storages, {}, { zip64: true })), "4");
});

test("what training programs put around a checkpoint", async () => {
  const { storages, items } = await checkpoint("7");
  const called = (prefix: string) => items.map(([name, tensor]) => [prefix + name, tensor] as [string, number[]]);
  const ordered = py.build(
    [...py.call(py.global("collections", "OrderedDict")), ...dict(items).slice(1)],
    dict([["_metadata", py.call(py.global("collections", "OrderedDict"))]]),
  );
  const parameters = items.map(([name, tensor]) => {
    const hooks = py.call(py.global("collections", "OrderedDict"));
    return [name, py.call(py.global("torch._utils", "_rebuild_parameter"), tensor, py.yes, hooks)] as [
      string,
      number[],
    ];
  });
  for (const root of [
    dict([
      ["state_dict", dict(items)],
      ["epoch", py.int(3)],
    ]),
    dict([
      ["model", ordered],
      ["optimizer", dict([["lr", py.none]])],
    ]),
    dict([["module", dict([["model", dict(items)]])]]),
    dict([...called("_forward_module."), ["step", py.int(7)]]),
    dict(called("module.")),
    dict(parameters),
    ordered,
  ])
    await sameTensors(await open(pth(root, storages)), "7");
});

const views = (views: Record<string, View>) =>
  dict(Object.entries(views).map(([name, view]) => [name, torchTensor(view)]));

test("storages that are shared, views with an offset, and turned ones", async () => {
  const a = f32Bytes(Array.from({ length: 20 }, (_, i) => i));
  const at = { storage: "a", length: 20 };
  const root = views({
    "emb.weight": { ...at, sizes: [3, 4] },
    "head.weight": { ...at, sizes: [3, 4] },
    "ln_out.weight": { ...at, offset: 16, sizes: [1, 1, 4], strides: [99, 7, 1] },
    "blocks.0.att.key.weight": { ...at, offset: 2, sizes: [2, 3], strides: [1, 2] },
    "blocks.0.att.w1": { ...at, sizes: [4, 2], strides: [1, 4] },
    "blocks.0.att.w2": { ...at, sizes: [2, 4] },
  });
  for (const file of [await open(pth(root, { a })), await open(legacyPth(root, { a }))]) {
    const of = async (name: string) => {
      const tensor = file.tensors.get(name)!;
      return [tensor.shape, tensor.transposed, [...(await numbers(tensor))]];
    };
    assert.equal(await of("emb.weight"), [[3, 4], false, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]);
    assert.equal(await of("head.weight"), await of("emb.weight"));
    assert.equal(await of("ln_out.weight"), [[4], false, [16, 17, 18, 19]]);
    assert.equal(await of("blocks.0.att.key.weight"), [[2, 3], true, [2, 4, 6, 3, 5, 7]]);
    assert.equal(await of("blocks.0.att.w1"), [[2, 4], false, [0, 1, 2, 3, 4, 5, 6, 7]]);
    assert.equal(await of("blocks.0.att.w2"), [[4, 2], true, [0, 4, 1, 5, 2, 6, 3, 7]]);
  }
});

test("tensors that share storages may take four times the file's bytes and 1 MiB, no more", async () => {
  const one = 1 << 20;
  const a = new Uint8Array(4 * one);
  const shared = (count: number) => {
    const at = { storage: "a", length: one, sizes: [1024, 1024] };
    return views(Object.fromEntries(Array.from({ length: count }, (_, i) => [`blocks.${i}.att.key.weight`, at])));
  };
  for (const write of [pth, legacyPth]) {
    assert.is((await open(write(shared(4), { a }))).tensors.size, 4);
    await refused(
      open(write(shared(5), { a })),
      "weights",
      /^some\.pth: its tensors take 20971520 bytes together, but the file has \d+: too many are views/,
    );
  }
});

test("views that cannot be read as they lie, or reach beyond their storage", async () => {
  const a = new Uint8Array(80);
  const one = (view: Partial<View>, name = "emb.weight") =>
    open(pth(views({ [name]: { storage: "a", length: 20, sizes: [2, 3], ...view } }), { a }));
  for (const view of [
    { strides: [6, 2] },
    { strides: [0, 1] },
    { strides: [4, 1] },
    { sizes: [1 << 30, 2], strides: [0, 0] },
    { sizes: [2, 2, 3], strides: [1, 6, 2] },
  ])
    await refused(one(view), "unsupported", /^some\.pth: tensor "emb\.weight" of sizes .* has strides/);
  await refused(one({ strides: [1, 2] }, "blocks.0.att.r_k"), "unsupported", /"blocks\.0\.att\.r_k" is a turned view/);
  for (const view of [{ offset: 15 }, { sizes: [4, 6] }, { strides: [18, 1] }, { sizes: [2 ** 31 - 1, 2 ** 31 - 1] }])
    await refused(one(view), "weights", /^some\.pth: tensor "emb\.weight" reaches number \d+ of storage "a"/);
  await refused(one({ sizes: [0, 3] }), "weights", /"emb\.weight" of sizes 0 x 3 \(f32\) is empty/);
  await refused(one({ sizes: [-1, 3] }), "weights", /pickle makes no sense/);
});

test("numbers of other types are refused by name, unless nobody wants them", async () => {
  const a = new Uint8Array(16);
  const long = { storage: "a", length: 2, type: "Long", sizes: [2] };
  await refused(open(pth(views({ "ln_out.bias": long }), { a })), "unsupported", /"ln_out\.bias" is stored as int64/);
  const bias = { storage: "b", length: 4, sizes: [4] };
  const { tensors, unknown } = await open(pth(views({ steps: long, "ln_out.bias": bias }), { a, b: a }));
  assert.equal([[...tensors.keys()], unknown], [["ln_out.bias"], ["steps"]]);
});

const small = views({ "ln_out.bias": { storage: "a", length: 4, sizes: [4] } });
const a = new Uint8Array(16);

const wrong: [what: string, file: Uint8Array, code: "weights" | "unsupported", pattern: RegExp][] = [
  ["an archive that is none of torch.save", zip({ "a.txt": a }), "unsupported", /no data\.pkl/],
  ["TorchScript", pth(small, { a }, { "model/constants.pkl": a }), "unsupported", /TorchScript/],
  ["big-endian numbers", pth(small, { a }, { "model/byteorder": ascii("big") }), "unsupported", /big-endian/],
  ["older big-endian numbers", legacyPth(small, { a }, 4, py.no), "unsupported", /big-endian/],
  ["a compressed archive", pth(small, { a }, {}, { method: 8 }), "unsupported", /compressed/],
  ["a storage that is missing", pth(small, {}), "weights", /lacks storage "a"/],
  [
    "a storage that is too short",
    pth(small, { a: a.subarray(1) }),
    "weights",
    /storage "a" has 15 bytes instead of 16/,
  ],
  ["an older storage that is not listed", legacyPth(small, {}), "weights", /list of storages is not complete/],
  ["an older storage that no tensor uses", legacyPth(small, { a, b: a }), "weights", /storage that no tensor uses/],
  ["an older storage that is cut off", legacyPth(small, { a }).slice(0, -1), "weights", /is cut off: storage "a"/],
  ["a list, not a dictionary", pth(py.list(small), { a }), "unsupported", /no dictionary of tensors/],
  ["no tensors", pth(py.dict([py.text("a"), py.int(1)]), {}), "unsupported", /holds no tensors/],
  [
    "another model",
    pth(views({ "fc.weight": { storage: "a", length: 4, sizes: [4] } }), { a }),
    "unsupported",
    /1 tensors, none named as in RWKV \("fc\.weight"\)/,
  ],
  [
    "a model converted for one machine",
    pth(
      dict([
        ["_strategy", py.text("cpu")],
        ["ln_out.bias", torchTensor({ storage: "a", length: 4, sizes: [4] })],
      ]),
      { a },
    ),
    "unsupported",
    /ChatRWKV/,
  ],
  [
    "one storage described in two ways",
    pth(
      views({
        "ln_out.bias": { storage: "a", length: 4, sizes: [4] },
        "ln_out.weight": { storage: "a", length: 3, sizes: [3] },
      }),
      { a },
    ),
    "weights",
    /described in two ways/,
  ],
];
for (const [what, file, code, pattern] of wrong)
  test(`refuses ${what}`, () => refused(open(file), code, /^some\.pth/, pattern));

test("two files of one name in the archive, and headers that contradict the directory", async () => {
  const bytes = pth(small, { a, b: a });
  const text = new TextDecoder("latin1").decode(bytes);
  const twice = bytes.slice();
  twice[text.lastIndexOf("data/b") + 5] = "a".charCodeAt(0);
  await refused(open(twice), "weights", /two files are called "model\/data\/a"/);
  const read = async (bytes: Uint8Array) => {
    const { source } = (await open(bytes)).tensors.get("ln_out.bias")!;
    await refused(source.read(10, 7), "weights", /^some\.pth: 7 bytes from byte 10 were asked for/);
    return await source.read(0, 16);
  };
  assert.equal(await read(bytes), a);
  const renamed = bytes.slice();
  renamed[text.indexOf("data/a") + 5] = "c".charCodeAt(0);
  await refused(read(renamed), "weights", /"model\/data\/a" in the zip archive is not at byte \d+/);
  const long = bytes.slice();
  long[text.indexOf("model/data/a") - 2] = 255;
  long[text.indexOf("model/data/a") - 1] = 255;
  await refused(
    read(long),
    "weights",
    /"model\/data\/a" in the zip archive takes 16 bytes from byte \d+, beyond the end/,
  );
});

test("an older storage of another length than the pickle says", async () => {
  const { tensors } = await open(legacyPth(small, { a }, 8));
  const reading = tensors.get("ln_out.bias")!.source.read(0, 16);
  await refused(reading, "weights", /^some\.pth: storage "a" at byte \d+ has 2 numbers instead of 4/);
});

test("an abort rethrows its reason", async () => {
  const reason = new Error("enough");
  for (const name of ["v4.bf16.pth"]) {
    const source = bytesSource("some.pth", fixture(name));
    const abort = new AbortController();
    const reading = {
      ...source,
      read: async (offset: number, length: number, signal?: AbortSignal) => {
        if (offset > 0) abort.abort(reason);
        return await source.read(offset, length, signal);
      },
    };
    try {
      await openWeights(reading, abort.signal);
      assert.unreachable();
    } catch (error) {
      assert.is(error, reason);
    }
  }
});

test.run();
