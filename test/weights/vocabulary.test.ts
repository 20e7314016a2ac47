import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource } from "../../src/bytes/source.ts";
import { RwkvError } from "../../src/errors.ts";
import type { Source } from "../../src/types.ts";
import { vocabularyBeside } from "../../src/weights/vocabulary.ts";
import { refused } from "../refused.ts";
import { source } from "./numbers.ts";

const world = Uint8Array.of(1, 2, 3);
const json = Uint8Array.of(4);
const found = (files?: Record<string, Uint8Array>) => vocabularyBeside(source("a/some.pth", new Uint8Array(1), files));

test("finds the World vocabulary, else a tokenizer.json, beside the model", async () => {
  const name = "rwkv_vocab_v20230424.txt";
  assert.equal(await found({ [name]: world, "tokenizer.json": json }), { kind: "world", name, bytes: world });
  assert.equal(await found({ "tokenizer.json": json }), {
    kind: "tokenizer.json",
    name: "tokenizer.json",
    bytes: json,
  });
  assert.is(await found({ "vocab.json": json }), undefined);
  assert.is(await found(), undefined);
});

test("closes what it opened, also when it fails; a file beyond the limit is not read", async () => {
  const open = new Set<string>();
  const files = (size: number, read?: Source["read"]): Source => ({
    ...bytesSource("some.pth", new Uint8Array(1)),
    sibling: async (name) => {
      open.add(name);
      const bytes = bytesSource(name, json);
      return { ...bytes, size, read: read ?? bytes.read, close: async () => void open.delete(name) };
    },
  });
  await vocabularyBeside(files(1));
  assert.is(open.size, 0);
  await refused(vocabularyBeside(files(2 ** 40)), "unsupported", /^rwkv_vocab_v20230424\.txt is longer/);
  assert.is(open.size, 0);
  const broken = async () => {
    throw new RwkvError("network", "the line is dead");
  };
  await refused(vocabularyBeside(files(1, broken)), "network", /the line is dead/);
  assert.is(open.size, 0);
});

test.run();
