/** Hostile pickles: each ends in an error that names the file, none in much work, and none runs anything. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { RwkvError } from "../../src/errors.ts";
import { openWeights } from "../../src/weights/open.ts";
import { MOST, Nonsense, readPickle } from "../../src/weights/pickle.ts";
import { refused } from "../refused.ts";
import { joined, u32 } from "./support.ts";
import { legacyPth, pth, py, torchTensor } from "./writers.ts";

const nothing = () => {
  throw new Nonsense("nothing is stored elsewhere");
};
const read = (bytes: Uint8Array, globals = new Map<string, unknown>()) =>
  readPickle("some.pth", bytes, globals, nothing);
const both = [(root: number[]) => pth(root, {}), (root: number[]) => legacyPth(root, {})];

test("values, and where a pickle ends", async () => {
  const value = py.dict(
    [py.text("größe"), py.list(py.int(-5), py.tuple(py.yes, py.no, py.none))],
    [py.int(1), py.dict()],
  );
  const bytes = py.pickle(value);
  const { value: found, end } = await read(joined(bytes, Uint8Array.of(1, 2, 3)));
  assert.equal(
    found,
    new Map<unknown, unknown>([
      ["größe", [-5, [true, false, null]]],
      [1, new Map()],
    ]),
  );
  assert.is(end, bytes.length);
});

test("protocol 4: short texts, memo without numbers, names from the stack", async () => {
  const short = (s: string) => [0x8c, s.length, ...new TextEncoder().encode(s)];
  const body = [
    ...short("collections"),
    0x94,
    ...short("OrderedDict"),
    0x94,
    0x93,
    0x29,
    0x52,
    0x94,
    0x68,
    1,
    0x86,
    0x2e,
  ];
  const frame = [0x95, body.length, 0, 0, 0, 0, 0, 0, 0];
  const globals = new Map([["collections.OrderedDict", () => "made"]]);
  const { value } = await read(Uint8Array.from([0x80, 4, ...frame, ...body]), globals);
  assert.equal(value, ["made", "OrderedDict"]);
});

test("names that would run something are refused by name", async () => {
  for (const [module, name] of [
    ["os", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch.storage", "_load_from_bytes"],
    ["__proto__", "constructor"],
    ["torch._utils", "_rebuild_tensor_v2 "],
    ["collections", "OrderedDict.update"],
  ])
    for (const file of both) {
      const root = py.call(py.global(module, name), py.text("echo"));
      const open = openWeights(bytesSource("some.pth", file(root)));
      await refused(open, "unsupported", /^some\.pth: its pickle asks for Python's "/, new RegExp(name.trim()));
    }
});

test("instructions that torch.save does not write are refused", async () => {
  const others = Array.from({ length: 256 }, (_, i) => i).filter(
    (i) => !"\x80\x95.(01bqr\x94hjN\x88\x89JKM\x8aGX\x8cUT)t\x85\x86\x87]ae}suc\x93RQ".includes(String.fromCharCode(i)),
  );
  assert.is(others.length, 256 - 39);
  for (const instruction of others)
    await refused(
      read(Uint8Array.of(0x80, 2, instruction, 0, 0, 0, 0, 0x2e)),
      "unsupported",
      new RegExp(`instruction ${instruction} at byte 2`),
    );
});

/** `unit` as often as fits into a pickle of the greatest length, between `before` and `after`. */
const filled = (unit: number[], before: number[] = [], after: number[] = []) => {
  const times = Math.floor((MOST.bytes - 3 - before.length - after.length) / unit.length);
  const bytes = new Uint8Array(3 + before.length + after.length + times * unit.length);
  bytes.set([0x80, 2, ...before]);
  for (let i = 0, at = 2 + before.length; i < times; i++, at += unit.length) bytes.set(unit, at);
  bytes.set([...after, 0x2e], bytes.length - 1 - after.length);
  return bytes;
};

const deep = { list: [0x5d, 0x71, 0], tuple: [0x85], mark: [0x28], dict: [0x7d] };

test("work that grows without bound is refused, or is none", async () => {
  const globals = new Map<string, unknown>([["m.f", Object.freeze((...args: unknown[]) => args.length)]]);
  const many: [what: string, file: Uint8Array][] = [
    ["dictionaries without end", filled(deep.dict)],
    ["lists without end", filled([0x5d])],
    ["marks without end", filled(deep.mark)],
    ["tuples in tuples", filled(deep.tuple, [0x4e])],
    ["pairs of the same pair", filled([0x71, 0, 0x68, 0, 0x86], [0x4e])],
    ["a list that holds itself", filled([0x68, 0, 0x61], [0x5d, 0x71, 0])],
    ["memo entries without end", filled([0x72, 255, 255, 255, 255], [0x4e])],
    ["unknown memo entries", filled([0x6a, 255, 255, 255, 255])],
    ["pops of nothing", filled([0x30])],
    ["marks taken from nothing", filled([0x31])],
    ["a tuple too long to be arguments", filled([0x4e], [...py.global("m", "f"), 0x28], [0x74, 0x52])],
    ["attributes of pairs of pairs", filled([0x71, 0, 0x68, 0, 0x86], [0x5d, 0x7d, 0x4e], [0x4e, 0x73, 0x62])],
    ["settings on what is no dictionary", filled([0x4e, 0x4e, 0x73], [0x4e])],
    ["texts that are longer than the file", filled([0x58, 255, 255, 255, 255])],
    ["a number of 255 bytes", filled([0x8a, 255])],
    ["calls of what is no function", filled([0x4e, 0x29, 0x52])],
    ["numbers as names", filled([0x4e, 0x4e, 0x93])],
    ["names without end", filled([0x63])],
    ["nothing at all", new Uint8Array(0)],
    ["no end", new Uint8Array(MOST.bytes + 100).fill(0x4e)],
  ];
  for (const [what, bytes] of many) {
    try {
      await read(bytes, globals);
    } catch (error) {
      assert.instance(error, RwkvError, what);
      const { message } = error as RwkvError;
      assert.match(message, /^some\.pth: its pickle/, what);
      // What the machine stumbled over is its own affair.
      assert.match(
        message,
        /(and it is not read|before byte \d+( \((a name that is no text|nothing .*)\))?; the file is damaged)$/,
        what,
      );
    }
  }
  await refused(read(filled(deep.dict)), "unsupported", /more than 16384 dictionaries/);
  await refused(read(new Uint8Array(MOST.bytes + 100).fill(0x4e)), "unsupported", /longer than 1048576 bytes/);
  await refused(read(py.pickle([0x8a, 7, 1, 2, 3, 4, 5, 6, 7])), "unsupported", /a number of 7 bytes/);
});

test("attributes are dropped: they change neither objects nor functions nor prototypes", async () => {
  const f = Object.freeze((): string => "made");
  const state = py.dict([py.text("__proto__"), py.list()], [py.text("call"), py.int(1)]);
  const root = py.list(py.build(py.global("m", "f"), state), py.build(py.dict(), state), py.build(py.list(), state));
  const { value } = await read(py.pickle(root), new Map([["m.f", f]]));
  assert.equal(value, [f, new Map(), []]);
  assert.is(Object.getPrototypeOf((value as unknown[])[2]), Array.prototype);
});

test("tensors and storages that make no sense", async () => {
  const rebuild = py.global("torch._utils", "_rebuild_tensor_v2");
  const storage = (...id: number[][]) => py.persistent(py.tuple(...id));
  const float = py.global("torch", "FloatStorage");
  const sound = storage(py.text("storage"), float, py.text("a"), py.text("cpu"), py.int(4));
  const four = py.tuple(py.int(4));
  const one = py.tuple(py.int(1));
  const tensor = (...args: number[][]) => py.call(rebuild, ...args);
  for (const value of [
    tensor(),
    tensor(sound),
    tensor(py.int(1), py.int(0), four, one),
    tensor(sound, py.none, four, one),
    tensor(sound, py.int(-1), four, one),
    tensor(sound, py.int(0), py.text("4"), one),
    tensor(sound, py.int(0), four, py.tuple()),
    tensor(sound, py.int(0), py.tuple(...Array(9).fill(py.int(1))), one),
    tensor(sound, py.int(0), four, one, ...Array(4).fill(py.none)),
    tensor(storage(py.text("storage"), py.none, py.text("a"), py.none, py.int(4)), py.int(0), four, one),
    tensor(storage(py.text("other"), float, py.text("a"), py.none, py.int(4)), py.int(0), four, one),
    tensor(storage(py.text("storage"), float, py.int(0), py.none, py.int(4)), py.int(0), four, one),
    tensor(storage(py.text("storage"), float, py.text("a"), py.none, py.int(-4)), py.int(0), four, one),
    tensor(storage(py.text("storage"), float, py.text("a"), py.none, py.int(4), one), py.int(0), four, one),
    py.persistent(py.text("storage")),
    py.call(py.global("collections", "OrderedDict"), py.list()),
    py.call(float, py.int(4)),
    py.call(py.global("torch._utils", "_rebuild_parameter"), py.none, py.none, py.none),
    [...torchTensor({ storage: "a", length: 4, sizes: [4] }), 0x29, 0x52],
  ])
    for (const file of both)
      await refused(
        openWeights(bytesSource("some.pth", file(py.dict([py.text("a"), value])))),
        "weights",
        /^some\.pth: its pickle makes no sense/,
      );
});

test("a pickle in the archive that is longer than any model's", async () => {
  const file = pth(py.text("x".repeat(MOST.bytes)), {});
  await refused(
    openWeights(bytesSource("some.pth", file)),
    "unsupported",
    /^some\.pth: "model\/data\.pkl" has \d+ bytes, more than/,
  );
  await refused(
    openWeights(bytesSource("some.pth", joined(Uint8Array.of(0x80, 2), Uint8Array.from(u32(7))))),
    "unsupported",
    /not one of torch\.save/,
  );
});

test.run();
