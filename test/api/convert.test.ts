// `convert` as a user calls it: from bytes, files and addresses, with the vocabulary that belongs there.
import { type ConvertOptions, convert, inspect, load, type ModelReport, type ModelSource } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { at, bytesAt } from "../files.ts";
import { joined } from "../weights/bytes.ts";
import { entries } from "../weights/dialects.ts";
import { officialTensors } from "../weights/official.ts";
import { safetensors } from "../weights/writers.ts";

async function converted(from: ModelSource, options?: ConvertOptions): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  await convert(from, { write: async (bytes) => void parts.push(bytes.slice()) }, options);
  return joined(...parts) as Uint8Array<ArrayBuffer>;
}

const failure = async (promise: Promise<unknown>) => {
  const error = (await promise.catch((reason) => reason)) as { code: string; message: string } | undefined;
  return `${error?.code}: ${error?.message}`;
};

const PTH = at("test/fixtures/v7.bf16.pth");

test("the shipped model through safetensors and back: the same text", async () => {
  const original = await bytesAt("weights/stories-7m.q8_0.gguf");
  const between = new Blob([await converted(original, { container: "safetensors" })]);
  const vocabulary = new TextDecoder().decode(await bytesAt("test/fixtures/stories-7m.vocab.txt"));
  const back = await converted(between, { type: "q8_0", vocabulary });
  const text = async (bytes: Uint8Array<ArrayBuffer>) => {
    const model = await load(bytes, { threads: 0 });
    try {
      let text = "";
      for await (const part of model.generate("One day", { maxTokens: 12, temperature: 0 })) text += part.text;
      return text;
    } finally {
      await model.close();
    }
  };
  const expected = await text(original);
  assert.ok(expected.length > 20);
  assert.is(await text(back), expected);
});

test("the vocabulary: by the number of tokens, as given, none", async () => {
  const { vocabulary: bytes } = (await inspect(await converted(PTH))) as ModelReport;
  assert.equal(bytes, { kind: "world", note: "World, from the weights file" });
  const vocabulary = Array.from({ length: 200 }, (_, i) => `${i + 1} 't${i}' ${`t${i}`.length}`).join("\n");
  const model = await load(await converted(PTH, { vocabulary }), { threads: 0 });
  assert.equal([...model.tokenizer.encode("t7t19")], [8, 20]);
  await model.close();
  const none = (await inspect(await converted(PTH, { vocabulary: "none" }))) as ModelReport;
  assert.is(none.facts.tokenizer, "no_vocab");
});

test("without a vocabulary that can be used it says so", async () => {
  const file = safetensors(
    entries(
      (await officialTensors("7")).map((tensor) =>
        /^(emb|head)/.test(tensor.name)
          ? { ...tensor, shape: [130, 128], values: tensor.values.slice(0, 130 * 128) }
          : tensor,
      ),
    ),
  );
  const dull = new Uint8Array(file);
  assert.match(
    await failure(converted(dull)),
    /^input: .* has no vocabulary to put into GGUF: .*130 tokens.*"none" leaves it out/,
  );
  await converted(dull, { container: "safetensors" });
  assert.is(((await inspect(await converted(dull, { vocabulary: "none" }))) as ModelReport).vocab, 130);
});

test("options out of range", async () => {
  const options = (value: unknown) => converted(PTH, value as ConvertOptions);
  assert.match(
    await failure(options({ container: "zip" })),
    /^input: container must be one of gguf, safetensors, not "zip"/,
  );
  assert.match(await failure(options({ type: "q2_k" })), /^input: type must be one of f32, .*, not "q2_k"/);
  assert.match(await failure(converted(at("test/fixtures/quants.gguf"))), /^unsupported: /);
});

test.run();
