import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { vocabularyFromGguf, vocabularyToGguf } from "../../src/weights/gguf-vocabulary.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { runs } from "../runs.ts";
import { gguf, key, tensor } from "./support.ts";

const [NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE] = [1, 2, 3, 4, 5, 6];

async function vocabulary(...keys: number[][]) {
  const all = [key.text("general.architecture", "rwkv7"), key.text("tokenizer.ggml.model", "rwkv"), ...keys];
  return (
    await openWeights(
      bytesSource("some.gguf", gguf({ keys: all, tensors: [tensor("output_norm.weight", [8], 0)], data: 32 })),
    )
  ).vocabulary!;
}
const tokens = (...texts: string[]) => key.texts("tokenizer.ggml.tokens", texts);
const types = (...numbers: number[]) => key.i32s("tokenizer.ggml.token_type", numbers);
const bytes = (list: readonly Uint8Array[]) => list.map((token) => [...token]);

test("escapes are undone", async () => {
  const escaped = ["\\x00", "\\xff\\xFE", "\\t\\n\\r", "\\\\x41", "\\'", '"', "a b", "\\x0a1", "", "ü"];
  assert.equal(bytes((await vocabulary(tokens(...escaped))).tokens), [
    [0],
    [0xff, 0xfe],
    [9, 10, 13],
    [0x5c, 0x78, 0x34, 0x31],
    [0x27],
    [0x22],
    [0x61, 0x20, 0x62],
    [0x0a, 0x31],
    [],
    [0xc3, 0xbc],
  ]);
});

test("labels are not text", async () => {
  const list = tokens("<s>", "a", "<unk>", "b", "[PAD4]", "\\x00");
  const found = await vocabulary(list, types(CONTROL, NORMAL, UNKNOWN, USER, UNUSED, BYTE));
  assert.equal(bytes(found.tokens), [[], [0x61], [], [0x62], [], [0]]);
});

test("which tokens start and end a text", async () => {
  const list = tokens("<s>", "a", "b");
  const said = await vocabulary(
    list,
    key.u32("tokenizer.ggml.bos_token_id", 2),
    key.u32("tokenizer.ggml.eos_token_id", 1),
  );
  assert.equal([said.bos, said.eos], [2, [1]]);
  const control = await vocabulary(list, types(CONTROL, NORMAL, NORMAL));
  assert.equal([control.bos, control.eos], [0, [0]]);
  const none = await vocabulary(list, types(NORMAL, NORMAL, NORMAL));
  assert.equal([none.bos, none.eos], [undefined, []]);
  const turn = await vocabulary(
    list,
    key.u32("tokenizer.ggml.eos_token_id", 0),
    key.u32("tokenizer.ggml.eot_token_id", 1),
  );
  assert.equal(turn.eos, [0]);
});

test("damaged vocabularies name the file and what is wrong", async () => {
  for (const text of ["a\\", "\\x", "\\x1", "\\xg0", "\\x+1"])
    await refused(vocabulary(tokens("fine", text)), "weights", /^some\.gguf: token 1 is /);
  await refused(vocabulary(), "weights", /some\.gguf: tokenizer\.ggml\.tokens/);
  await refused(vocabulary(tokens()), "weights", /tokenizer\.ggml\.tokens/);
  await refused(vocabulary(key.i32s("tokenizer.ggml.tokens", [1])), "weights", /tokenizer\.ggml\.tokens/);
  await refused(vocabulary(tokens("a", "b"), types(1)), "weights", /token_type.*2 tokens/);
  await refused(vocabulary(tokens("a"), key.texts("tokenizer.ggml.token_type", ["1"])), "weights", /token_type/);
  await refused(vocabulary(tokens("a"), key.u32("tokenizer.ggml.eos_token_id", 1)), "weights", /eos_token_id/);
  await refused(vocabulary(tokens("a"), key.text("tokenizer.ggml.bos_token_id", "0")), "weights", /bos_token_id/);
});

test("another kind of tokenizer is no vocabulary of this kind", async () => {
  const keys = [key.text("general.architecture", "rwkv7"), key.text("tokenizer.ggml.model", "gpt2"), tokens("a")];
  const file = await openWeights(
    bytesSource("some.gguf", gguf({ keys, tensors: [tensor("output_norm.weight", [8], 0)], data: 32 })),
  );
  assert.is(file.vocabulary, undefined);
  assert.is(file.facts.get("tokenizer"), "gpt2");
});

/** A vocabulary's metadata, written and read. */
function thereAndBack(list: Uint8Array[], special: { bos?: number; eos: number[] }) {
  const metadata = vocabularyToGguf({ tokens: list, ...special });
  return { metadata, back: vocabularyFromGguf("some.gguf", metadata)! };
}

test("tokens are written as Python prints bytes", () => {
  const texts = ["it's", 'say "x"', `'"`, "\\n", "\t\r\n", "\x00\x1f ~\x7f", "é"];
  const { metadata } = thereAndBack([new Uint8Array(0), ...texts.map((t) => new TextEncoder().encode(t))], { eos: [] });
  assert.equal(metadata.get("tokenizer.ggml.tokens")?.value, [
    "<s>",
    "it's",
    'say "x"',
    `\\'"`,
    "\\\\n",
    "\\t\\r\\n",
    "\\x00\\x1f ~\\x7f",
    "\\xc3\\xa9",
  ]);
});

test("what is written is read back: any tokens, with and without text", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 12 }), { minLength: 1 }), fc.boolean(), (list, hasEnd) => {
      const special = hasEnd ? { bos: 0, eos: [0] } : { eos: [] };
      const { back } = thereAndBack(list, special);
      assert.equal(bytes(back.tokens), bytes(list));
      // A first token without text ends a text also where nothing says so.
      if (hasEnd || list[0]!.length > 0) assert.equal({ bos: back.bos, eos: back.eos }, { bos: undefined, ...special });
    }),
    { numRuns: runs(200) },
  );
});

test("World's end of turn and chat format, and only World's", () => {
  const list = Array.from({ length: 300 }, (_, i) =>
    new TextEncoder().encode(i === 261 ? "\n\n" : i === 0 ? "" : `t${i}`),
  );
  const { metadata } = thereAndBack(list, { bos: 0, eos: [0] });
  assert.equal(metadata.get("tokenizer.ggml.eot_token_id"), { type: "u32", value: 261 });
  assert.equal(metadata.get("tokenizer.chat_template"), { type: "string", value: "rwkv-world" });
  list[261] = new TextEncoder().encode("\n");
  const other = thereAndBack(list, { bos: 0, eos: [0] }).metadata;
  assert.not(other.has("tokenizer.ggml.eot_token_id"));
  assert.not(other.has("tokenizer.chat_template"));
});

test.run();
