// Vocabularies that do not come with the weights: that of the package, and those that are given.
import { load, RwkvError } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { smallTokenizerJson } from "../text/small.ts";

const WIDTH = 32;

/** A model of version 4 in safetensors, with as many tokens as asked for and nothing but zeros in it. */
function emptyModel(rows: number): Uint8Array<ArrayBuffer> {
  const vector = [WIDTH];
  const square = [WIDTH, WIDTH];
  const shapes: Record<string, number[]> = { "emb.weight": [rows, WIDTH], "head.weight": [rows, WIDTH] };
  for (const norm of ["blocks.0.ln0", "blocks.0.ln1", "blocks.0.ln2", "ln_out"]) {
    shapes[`${norm}.weight`] = vector;
    shapes[`${norm}.bias`] = vector;
  }
  for (const name of ["decay", "first", "mix_k", "mix_v", "mix_r"]) shapes[`blocks.0.att.time_${name}`] = vector;
  for (const name of ["key", "value", "receptance", "output"]) shapes[`blocks.0.att.${name}.weight`] = square;
  for (const name of ["mix_k", "mix_r"]) shapes[`blocks.0.ffn.time_${name}`] = vector;
  for (const name of ["key", "value", "receptance"]) shapes[`blocks.0.ffn.${name}.weight`] = square;

  let end = 0;
  const header: Record<string, object> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const start = end;
    end += 2 * shape.reduce((product, n) => product * n, 1);
    header[name] = { dtype: "F16", shape, data_offsets: [start, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

test("a model of the World's size gets the World vocabulary, which comes with the package", async () => {
  const model = await load(emptyModel(65536), { threads: 0 });
  try {
    assert.is(model.info.tokenizer, "World, for the model's 65536 tokens");
    assert.equal([...model.tokenizer.encode("Once upon a time")], [23977, 32350, 332, 32251]);
    assert.is(model.tokenizer.decode([23977, 32350, 332, 32251]), "Once upon a time");
    const session = model.session();
    assert.is(await session.feed("Once upon a time"), 5);
  } finally {
    await model.close();
  }
});

const small = emptyModel(300);

test("bytes, by size; and a tokenizer of one's own", async () => {
  const bytes = await load(small, { threads: 0 });
  assert.is(bytes.info.tokenizer, "bytes, for the model's 300 tokens");
  assert.equal([...bytes.tokenizer.encode("\u00e9")], [0xc3, 0xa9]);
  await bytes.close();

  const digits = {
    kind: "digits",
    size: 10,
    eos: [],
    encode: (text: string | Uint8Array) => Uint32Array.from(text as string, Number),
    decode: (ids: Iterable<number>) => [...ids].join(""),
    bytes: (id: number) => Uint8Array.of(0x30 + id),
  };
  const model = await load(small, { threads: 0, vocabulary: digits });
  assert.is(model.info.tokenizer, "digits, as given");
  // Of equal logits the lowest id is the likeliest.
  const parts = [];
  for await (const { text } of model.generate("123", { temperature: 0, maxTokens: 3 })) parts.push(text);
  assert.equal(parts, ["0", "0", "0"]);
  await model.close();
});

test("a tokenizer.json, where the package for it can be imported by name; everywhere with its class", async () => {
  const json = JSON.stringify(smallTokenizerJson());
  const named = "process" in globalThis;
  try {
    const model = await load(small, { threads: 0, vocabulary: json });
    assert.ok(named);
    assert.is(model.info.tokenizer, "BPE, as given");
    assert.equal([...model.tokenizer.encode("abc<end>")], [256, 0x63, 257]);
    await model.close();
  } catch (error) {
    assert.not(named, String(error));
    assert.instance(error, RwkvError);
    assert.match((error as RwkvError).message, /vocabulary: { json, Tokenizer }/);
  }
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const model = await load(small, { threads: 0, vocabulary: { json, Tokenizer } });
  assert.equal([...model.tokenizer.encode("abc<end>")], [256, 0x63, 257]);
  await model.close();
});

test("without a vocabulary ids work, and text says what is missing", async () => {
  const model = await load(emptyModel(50277), { threads: 0 });
  assert.match(model.info.tokenizer, /^none: .*50277 tokens look like those of the Pile/);
  assert.is((await model.forward([1, 2])).length, 2);
  for (const use of [() => model.tokenizer, () => model.generate("text")])
    assert.throws(use, (error: unknown) => error instanceof RwkvError && /Only token ids.*Pile/.test(error.message));
  await model.close();
});

test.run();
