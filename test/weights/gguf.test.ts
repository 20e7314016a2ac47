import { gguf as oracle } from "@huggingface/gguf";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { DTYPES } from "../../src/weights/dtype.ts";
import { readGguf } from "../../src/weights/gguf.ts";
import { SCALARS } from "../../src/weights/gguf-values.ts";
import { refused } from "../refused.ts";
import { counted, fixture, gguf, key, tensor, text, u32, u64 } from "./support.ts";

const read = (bytes: Uint8Array) => readGguf(bytesSource("some.gguf", bytes));

for (const name of ["v7.f32.gguf", "v7.f16.gguf", "v7.q8_0.gguf", "quants.gguf"])
  test(`${name}: the same header as @huggingface/gguf finds`, async () => {
    const ours = await readGguf(bytesSource(name, fixture(name)));
    const theirs = await oracle(`test/fixtures/${name}`, { typedMetadata: true, allowLocalFile: true });
    const { version, tensor_count, kv_count, ...metadata } = theirs.metadata;
    assert.is(ours.version, version);
    assert.is(ours.tensors.length, Number(tensor_count));
    assert.is(ours.metadata.size, Number(kv_count));
    for (const [name, value] of Object.entries(metadata)) {
      const found = ours.metadata.get(name);
      assert.equal(found?.type === "array" ? [...found.value] : found?.value, value, name);
      const { type } = theirs.typedMetadata[name];
      assert.is(found?.type, { 4: "u32", 6: "f32", 8: "string", 9: "array" }[type as number], name);
    }
    assert.equal(
      ours.tensors.map((tensor) => [tensor.name, tensor.dims, DTYPES[tensor.dtype].id, tensor.offset]),
      theirs.tensorInfos.map((tensor) => [
        tensor.name,
        tensor.shape.map(Number),
        tensor.dtype,
        Number(theirs.tensorDataOffset + tensor.offset),
      ]),
    );
  });

test("quants.gguf: one tensor of every type follows the other, so the sizes of all types are right", async () => {
  const bytes = fixture("quants.gguf");
  const { tensors, alignment } = await read(bytes);
  assert.equal(new Set(tensors.map((tensor) => tensor.dtype)), new Set(Object.keys(DTYPES)));
  const align = (n: number) => Math.ceil(n / alignment) * alignment;
  for (const [i, tensor] of tensors.entries()) {
    assert.is(tensor.name, tensor.dtype);
    const next = i + 1 < tensors.length ? tensors[i + 1].offset : bytes.length;
    assert.is(align(tensor.offset + tensor.bytes), align(next), tensor.name);
  }
});

test("every metadata type keeps its type and value", async () => {
  const entry = (name: string, id: number, bytes: number[]) => [...text(name), ...u32(id), ...bytes];
  const list = (name: string, id: number, count: number, bytes: number[]) =>
    entry(name, 9, [...u32(id), ...u64(count), ...bytes]);
  const keys = [
    entry("u8", 0, [200]),
    entry("i8", 1, [200]),
    entry("u16", 2, [1, 200]),
    entry("i16", 3, [1, 200]),
    entry("u32", 4, u32(0xfedcba98)),
    entry("i32", 5, u32(-5)),
    entry("f32", 6, [0, 0, 0x20, 0xc0]),
    entry("bool", 7, [1]),
    entry("string", 8, text("\uFEFFgrüße")),
    entry("u64", 10, u64(2n ** 64n - 1n)),
    entry("i64", 11, u64(-7n)),
    entry("f64", 12, [0, 0, 0, 0, 0, 0, 0x04, 0x40]),
    list("i8s", 1, 3, [1, 255, 128]),
    list("bools", 7, 2, [1, 0]),
    list("u64s", 10, 1, u64(2n ** 63n)),
    list("strings", 8, 2, [...text("a"), ...text("")]),
    list("none", 6, 0, []),
  ];
  const { metadata } = await read(gguf({ keys }));
  assert.equal(Object.fromEntries(metadata), {
    u8: { type: "u8", value: 200 },
    i8: { type: "i8", value: -56 },
    u16: { type: "u16", value: 51201 },
    i16: { type: "i16", value: -14335 },
    u32: { type: "u32", value: 0xfedcba98 },
    i32: { type: "i32", value: -5 },
    f32: { type: "f32", value: -2.5 },
    bool: { type: "bool", value: true },
    string: { type: "string", value: "\uFEFFgrüße" },
    u64: { type: "u64", value: 2n ** 64n - 1n },
    i64: { type: "i64", value: -7n },
    f64: { type: "f64", value: 2.5 },
    i8s: { type: "array", of: "i8", value: Int8Array.of(1, -1, -128) },
    bools: { type: "array", of: "bool", value: Uint8Array.of(1, 0) },
    u64s: { type: "array", of: "u64", value: BigUint64Array.of(2n ** 63n) },
    strings: { type: "array", of: "string", value: ["a", ""] },
    none: { type: "array", of: "f32", value: new Float32Array(0) },
  });
  assert.equal(
    Object.keys(SCALARS).filter((type) => !metadata.has(type)),
    [],
  );
});

test("version 2 and another alignment", async () => {
  const file = gguf({
    version: 2,
    keys: [key.u32("general.alignment", 64)],
    tensors: [tensor("a", [3], 0), tensor("b", [2, 2], 64)],
    data: 80,
    alignment: 64,
  });
  const { version, alignment, tensors } = await read(file);
  assert.is(version, 2);
  assert.is(alignment, 64);
  assert.equal(tensors, [
    { name: "a", dtype: "f32", dims: [3], offset: file.length - 80, bytes: 12 },
    { name: "b", dtype: "f32", dims: [2, 2], offset: file.length - 16, bytes: 16 },
  ]);
});

test("reads the header only, in a few ranges, even when it is long", async () => {
  const words = Array.from({ length: 60000 }, (_, i) => `a rather long token ${i}`);
  const header = gguf({ keys: [key.texts("tokens", words)], tensors: [tensor("a", [4 << 20], 0)] });
  const bytes = new Uint8Array(header.length + (16 << 20));
  bytes.set(header);
  const source = counted(bytesSource("some.gguf", bytes));
  const { metadata } = await readGguf(source);
  assert.equal(metadata.get("tokens"), { type: "array", of: "string", value: words });
  assert.ok(
    header.length > 1 << 20 && source.bytesRead <= 4 * header.length,
    `${source.bytesRead} of ${header.length}`,
  );
});

test("a file that is cut off says where and how much is missing", async () => {
  const whole = fixture("v7.q8_0.gguf");
  const { tensors } = await read(whole);
  const last = tensors.at(-1)!;
  const cut = last.offset + 100;
  const missing = last.bytes - 100;
  await refused(
    read(whole.subarray(0, cut)),
    "weights",
    /^some\.gguf is cut off/,
    /"output\.weight"/,
    new RegExp(`\\b${missing} bytes are missing`),
  );
  await refused(
    read(whole.subarray(0, 5000)),
    "weights",
    /^some\.gguf is cut off/,
    /tokenizer\.ggml\.token_type|tensor/,
    /ends at byte 5000/,
  );
  for (const length of [0, 3, 4, 8, 20]) await refused(read(whole.subarray(0, length)), "weights", /some\.gguf/);
});

const HUGE = [2n ** 20n + 1n, 2n ** 32n, 2n ** 52n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

test("impossible counts and lengths are refused at once, without reading on", async () => {
  for (const n of HUGE) {
    const files = [
      gguf({ keyCount: n }),
      gguf({ tensorCount: n }),
      gguf({ keyCount: 1, keys: [u64(n)] }),
      gguf({ keys: [[...text("k"), ...u32(8), ...u64(n)]] }),
      ...[0, 4, 8, 12].map((id) => gguf({ keys: [[...text("k"), ...u32(9), ...u32(id), ...u64(n)]] })),
      gguf({ tensors: [u64(n)] }),
      gguf({ tensors: [tensor("t", [n], 0)], data: 64 }),
      gguf({ tensors: [tensor("t", [n, n, n, n], 0)], data: 64 }),
      gguf({ tensors: [tensor("t", [4], n & ~31n)], data: 64 }),
    ];
    for (const file of files) await refused(read(file), "weights", /^some\.gguf/);
  }
});

test("of a file that ends within its header it is said what is missing, and where", async () => {
  const cut = (count: object) => read(gguf(count).subarray(0, 24));
  await refused(
    cut({ tensorCount: 3 }),
    "weights",
    /its 3 descriptions of tensors need at least 99 bytes behind byte 16,/,
  );
  await refused(cut({ keyCount: 3 }), "weights", /its 3 metadata keys need at least 42 bytes behind byte 24,/);
});

test("counts beyond the limits are refused even if the file is large enough", async () => {
  const padded = (file: Uint8Array) => {
    const bytes = new Uint8Array(40 << 20);
    bytes.set(file);
    return bytes;
  };
  await refused(read(padded(gguf({ tensorCount: 70000 }))), "unsupported", /some\.gguf/, /number of tensors: 70000/);
  await refused(read(padded(gguf({ keyCount: 70000 }))), "unsupported", /some\.gguf/, /number of metadata keys: 70000/);
  await refused(
    read(padded(gguf({ keys: [[...text("k"), ...u32(9), ...u32(8), ...u64(2 ** 21)]] }))),
    "unsupported",
    /"k": 2097152/,
  );
  await refused(read(padded(gguf({ keys: [[...text("k"), ...u32(8), ...u64(33 << 20)]] }))), "unsupported", /"k"/);
  await refused(read(padded(gguf({ keys: [[...u64(70000)]] }))), "unsupported", /metadata key 0/);
  // The empty strings that these zeros are, and the key's own name, are one string too many.
  const strings = new Uint8Array(20 << 20);
  strings.set(gguf({ keys: [[...text("k"), ...u32(9), ...u32(8), ...u64(2 ** 20)]] }));
  await refused(read(strings), "unsupported", /more than 1048576 strings/);
});

const bad: [what: string, file: Uint8Array, code: "weights" | "unsupported", ...patterns: RegExp[]][] = [
  ["another magic", Uint8Array.of(71, 71, 85, 71, 3, 0, 0, 0), "weights", /GGUF/],
  ["big endian", Uint8Array.of(71, 71, 85, 70, 0, 0, 0, 3), "unsupported", /big-endian/],
  ["version 1", gguf({ version: 1 }), "unsupported", /version 1/],
  ["version 0", gguf({ version: 0 }), "unsupported", /version 0/],
  ["version 4", gguf({ version: 4 }), "unsupported", /version 4/],
  [
    "the same key twice",
    gguf({ keys: [key.u32("k", 1), key.u32("k", 1)] }),
    "weights",
    /metadata key "k" is there twice/,
  ],
  [
    "an unknown type",
    gguf({ keys: [[...text("k"), ...u32(13), ...u64(0)]] }),
    "weights",
    /"k" has the unknown type 13/,
  ],
  [
    "an array of an unknown type",
    gguf({ keys: [[...text("k"), ...u32(9), ...u32(13), ...u64(0)]] }),
    "weights",
    /"k".* type 13/,
  ],
  [
    "an array of arrays",
    gguf({ keys: [[...text("k"), ...u32(9), ...u32(9), ...u64(0)]] }),
    "unsupported",
    /"k".*array of arrays/,
  ],
  ["a boolean of 2", gguf({ keys: [[...text("k"), ...u32(7), 2]] }), "weights", /"k" holds 2/],
  ["booleans of 2", gguf({ keys: [[...text("k"), ...u32(9), ...u32(7), ...u64(1), 2]] }), "weights", /"k" holds 2/],
  ["text that is not UTF-8", gguf({ keys: [[...text("k"), ...u32(8), ...u64(1), 0xff]] }), "weights", /"k".*UTF-8/],
  ["an alignment of 0", gguf({ keys: [key.u32("general.alignment", 0)] }), "weights", /alignment is 0/],
  ["an alignment of 48", gguf({ keys: [key.u32("general.alignment", 48)] }), "weights", /alignment is 48/],
  [
    "an alignment of 2 GiB",
    gguf({ keys: [key.u32("general.alignment", 2 ** 31)] }),
    "weights",
    /alignment is 2147483648/,
  ],
  [
    "an alignment in words",
    gguf({ keys: [key.text("general.alignment", "32")] }),
    "weights",
    /alignment is of type string/,
  ],
  [
    "the same tensor twice",
    gguf({ tensors: [tensor("t", [1], 0), tensor("t", [1], 32)], data: 64 }),
    "weights",
    /"t" is there twice/,
  ],
  [
    "no dimensions",
    gguf({ tensors: [tensor("t", [], 0), tensor("u", [1], 0)], data: 64 }),
    "weights",
    /"t" has 0 dimensions/,
  ],
  [
    "five dimensions",
    gguf({ tensors: [tensor("t", [1, 1, 1, 1, 1], 0)], data: 64 }),
    "weights",
    /"t" has 5 dimensions/,
  ],
  ["an empty tensor", gguf({ tensors: [tensor("t", [4, 0], 0)], data: 64 }), "weights", /"t" is empty/],
  [
    "a type that is not read",
    gguf({ tensors: [tensor("t", [256], 0, 16)], data: 128 }),
    "unsupported",
    /"t" is stored as iq2_xxs/,
  ],
  [
    "a type that does not exist",
    gguf({ tensors: [tensor("t", [256], 0, 999)], data: 128 }),
    "unsupported",
    /"t" .*number 999/,
  ],
  [
    "a row of half a block",
    gguf({ tensors: [tensor("t", [16, 2], 0, 8)], data: 64 }),
    "weights",
    /"t" has rows of 16.*q8_0.*32/,
  ],
  [
    "an offset off the alignment",
    gguf({ tensors: [tensor("t", [1], 16)], data: 64 }),
    "weights",
    /"t" starts at data byte 16/,
  ],
  [
    "overlapping tensors",
    gguf({ tensors: [tensor("b", [4], 32), tensor("a", [9], 0)], data: 64 }),
    "weights",
    /"a" and "b" overlap/,
  ],
  [
    "tensors in one place",
    gguf({ tensors: [tensor("a", [4], 0), tensor("b", [4], 0)], data: 64 }),
    "weights",
    /overlap/,
  ],
  [
    "a tensor past the end",
    gguf({ tensors: [tensor("a", [4], 0), tensor("b", [9], 32)], data: 64 }),
    "weights",
    /"b" takes bytes/,
    /\b4 bytes are missing/,
  ],
];
for (const [what, file, code, ...patterns] of bad)
  test(`refuses ${what}`, () => refused(read(file), code, /^some\.gguf/, ...patterns));

test("an abort rethrows its reason", async () => {
  const reason = new Error("enough");
  try {
    await readGguf(bytesSource("some.gguf", fixture("quants.gguf")), AbortSignal.abort(reason));
    assert.unreachable();
  } catch (error) {
    assert.is(error, reason);
  }
});

test.run();
