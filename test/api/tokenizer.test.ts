// The rule of choice: which tokenizer a model gets, where from, and what is said when there is none.
import { Tokenizer as Hf } from "@huggingface/tokenizers";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chooseTokenizer, tokenizerOf, type VocabularyOption } from "../../src/api/tokenizer.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { RwkvError } from "../../src/errors.ts";
import { BpeTokenizer } from "../../src/text/bpe.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import { parseVocabulary } from "../../src/text/vocab.ts";
import type { Source } from "../../src/types.ts";
import { bytesAt } from "../files.ts";

const WORLD = await bytesAt("weights/world.vocab");
const STORIES = await bytesAt("test/fixtures/stories-7m.vocab.txt");
const PILE = await bytesAt("node_modules/rwkv-tokenizer-node/20B_tokenizer.json");
const encoder = new TextEncoder();

let worldReads = 0;
const platform = {
  worldVocabulary: async () => {
    worldReads++;
    return WORLD;
  },
  hfTokenizer: async () => Hf,
};

/** Weights of that name with files beside them; an Error is what opening that file throws. Counts what is left open. */
function weights(name: string, beside: Record<string, Uint8Array | Error> = {}): Source & { open: number } {
  const source = {
    ...bytesSource(name, new Uint8Array(1)),
    open: 0,
    async sibling(file: string): Promise<Source | undefined> {
      const content = beside[file];
      if (content instanceof Error) throw content;
      if (!content) return undefined;
      source.open++;
      const found = bytesSource(`folder/${file}`, content);
      return { ...found, close: async () => void source.open-- };
    },
  };
  return source;
}

interface Case {
  given?: VocabularyOption;
  own?: "stories";
  facts?: Record<string, string>;
  source?: Source;
  platform?: Parameters<typeof chooseTokenizer>[0];
}

const choose = (rows: number, { given, own, facts = {}, source = bytesSource("m", WORLD), ...rest }: Case = {}) =>
  chooseTokenizer(
    rest.platform ?? platform,
    given,
    { facts: new Map(Object.entries(facts)), ...(own && { vocabulary: parseVocabulary(STORIES) }) },
    source,
    rows,
  );

async function gives(note: string, rows: number, input: Case = {}): Promise<Tokenizer> {
  const chosen = await choose(rows, input);
  assert.is(chosen.note, note);
  const tokenizer = tokenizerOf(chosen);
  assert.is(tokenizer.size, rows);
  assert.is(tokenizer.decode(tokenizer.encode("Once")), "Once");
  return tokenizer;
}

/** No tokenizer, and the reason that using text gives. */
async function none(reason: RegExp, rows: number, input: Case = {}): Promise<void> {
  const chosen = await choose(rows, input);
  assert.is(chosen.tokenizer, undefined);
  assert.throws(
    () => tokenizerOf(chosen),
    (error: unknown) => {
      assert.instance(error, RwkvError);
      assert.is((error as RwkvError).code, "input");
      assert.match((error as RwkvError).message, reason);
      assert.match((error as RwkvError).message, /^Only token ids can be used: .*`vocabulary`\.$/);
      return true;
    },
  );
}

async function refused(code: string, message: RegExp, rows: number, input: Case): Promise<void> {
  try {
    await choose(rows, input);
  } catch (error) {
    assert.instance(error, RwkvError, String(error));
    assert.is((error as RwkvError).code, code);
    assert.match((error as RwkvError).message, message);
    return;
  }
  assert.unreachable(`not refused: ${message}`);
}

test("what is given wins over everything", async () => {
  const source = weights("m.pth", { "tokenizer.json": PILE, "rwkv_vocab_v20230424.txt": STORIES });
  const all = { own: "stories", source } as const;
  await gives("World, as given", 65536, { given: "world", ...all });
  await gives("bytes, as given", 4096, { given: "bytes", ...all });
  await gives("World, as given", 4200, { given: STORIES, ...all });
  await gives("World, as given", 4096, { given: new TextDecoder().decode(STORIES), ...all });
  await gives("World, as given", 65536, { given: WORLD, ...all });
  await gives("BPE, as given", 50277, { given: new TextDecoder().decode(PILE), ...all });
  await gives("BPE, as given", 50304, { given: PILE.slice(), ...all });
  await gives("BPE, as given", 50304, {
    given: { json: PILE, Tokenizer: Hf },
    platform: { worldVocabulary: platform.worldVocabulary },
  });
  await gives("bpe-like, as given", 50304, { given: Object.assign(new BpeTokenizer(PILE, Hf), { kind: "bpe-like" }) });
});

test("then the file's own, then what lies beside it, then the number of tokens", async () => {
  const source = weights("folder/m.pth", { "m.vocab.txt": STORIES, "tokenizer.json": PILE });
  await gives("World, from the weights file", 4096, { own: "stories", source });
  await gives("World, from m.vocab.txt beside the weights", 4096, { source });
  await gives("BPE, from tokenizer.json beside the weights", 50277, { source });
  await gives("World, for the model's 65536 tokens", 65536, { source });
  assert.is(source.open, 0);
  const others = weights("m.bin", { "20B_tokenizer.json": PILE, "rwkv_vocab_v20230424.txt": STORIES });
  await gives("World, from rwkv_vocab_v20230424.txt beside the weights", 4096, { source: others });
  await gives("BPE, from 20B_tokenizer.json beside the weights", 50304, { source: others });
  assert.is(others.open, 0);
});

test("by the number of tokens", async () => {
  for (const rows of [65530, 65536]) await gives(`World, for the model's ${rows} tokens`, rows);
  for (const rows of [256, 260, 511]) await gives(`bytes, for the model's ${rows} tokens`, rows);
  for (const rows of [1, 255, 512, 4096, 65529, 65537])
    await none(/are those of no vocabulary that is known here/, rows);
  for (const rows of [50277, 50304]) await none(/look like those of the Pile models.*tokenizer\.json/, rows);
});

test("the World vocabulary is read only when it is used", async () => {
  worldReads = 0;
  await gives("World, from the weights file", 4096, { own: "stories" });
  await gives("bytes, for the model's 256 tokens", 256);
  await none(/Pile/, 50277);
  assert.is(worldReads, 0);
  await gives("World, for the model's 65536 tokens", 65536);
  assert.is(worldReads, 1);
});

test("files beside the weights that cannot be used are passed over, and named when nothing else serves", async () => {
  const page = encoder.encode("<!doctype html>");
  const source = weights("m.pth", {
    "m.vocab.txt": page,
    "rwkv_vocab_v20230424.txt": STORIES,
    "tokenizer.json": encoder.encode("{}"),
    "20B_tokenizer.json": new Error("it may not be read"),
  });
  await gives("World, for the model's 65536 tokens", 65536, { source });
  await none(/m\.vocab\.txt, line 1: not of the form.*txt beside the weights has 4096 tokens, the model 260;/, 260, {
    source,
  });
  await none(/tokenizer\.json: it has no model.*it may not be read; its 50277 tokens look like/, 50277, { source });
  assert.is(source.open, 0);

  const large = weights("m.pth", { "tokenizer.json": new Uint8Array((1 << 25) + 1) });
  await none(/folder\/tokenizer\.json is too large/, 50277, { source: large });
  const world = weights("m.pth", { "tokenizer.json": PILE });
  await none(/npm install x/, 50277, {
    source: world,
    platform: { ...platform, hfTokenizer: () => Promise.reject(new RwkvError("unsupported", "npm install x")) },
  });
  await none(/load with `vocabulary: { json, Tokenizer }`/, 50277, {
    source: world,
    platform: { worldVocabulary: platform.worldVocabulary },
  });
});

test("a GGUF file's vocabulary of another kind is not mistaken for World", async () => {
  for (const [rows, kind] of [
    [65536, "gpt2"],
    [256, "llama"],
  ] as const)
    await none(new RegExp(`of the kind "${kind}", is not read here`), rows, { facts: { tokenizer: kind } });
  await gives("World, for the model's 65536 tokens", 65536, { facts: { tokenizer: "none" } });
});

test("what is given and cannot be used is an error at once", async () => {
  await refused("input", /not "vocab\.txt"; a file has to be read first/, 4096, { given: "vocab.txt" });
  await refused("input", /not ""/, 4096, { given: "" });
  await refused("weights", /the vocabulary, line 1: not of the form/, 4096, { given: "1 x\n" });
  await refused("weights", /the vocabulary: .*JSON/, 4096, { given: "{" });
  await refused("weights", /the vocabulary: it is damaged/, 65536, { given: WORLD.slice(0, 1000) });
  await refused("input", /65530 ids but the model only 4096/, 4096, { given: "world" });
  await refused("input", /50277 ids but the model only 4096/, 4096, { given: PILE });
  await refused("input", /50277 ids but the model only 4096/, 4096, { given: new BpeTokenizer(PILE, Hf) });
  await refused("input", /needs the class Tokenizer/, 50277, { given: { json: "{}" } as unknown as Tokenizer });
  await refused("input", /4096 ids but the model only 4000/, 4000, { own: "stories" });
  for (const given of [null, 5, [], { encode() {} }, new Blob()])
    await refused("input", /vocabulary must be "world"/, 4096, { given: given as unknown as Tokenizer });
  await refused("unsupported", /{ json, Tokenizer }/, 50277, {
    given: PILE,
    platform: { worldVocabulary: platform.worldVocabulary },
  });
});

test("a World vocabulary that is not where the package should be is named", async () => {
  const gone = { worldVocabulary: () => Promise.reject(new Error("no such file")) };
  await refused("unsupported", /weights\/world\.vocab, cannot be read \(no such file\)/, 65536, { platform: gone });
  const unreachable = { worldVocabulary: () => Promise.reject(new RwkvError("network", "404")) };
  await refused("network", /404/, 65536, { given: "world", platform: unreachable });
});

test("an abort while looking beside the weights ends it with the signal's reason", async () => {
  const reason = new Error("enough");
  const source = weights("m.pth", { "m.vocab.txt": STORIES });
  const choosing = chooseTokenizer(platform, undefined, { facts: new Map() }, source, 4096, AbortSignal.abort(reason));
  assert.is(
    await choosing.then(
      () => undefined,
      (error) => error,
    ),
    reason,
  );
  assert.is(source.open, 0);
});

test.run();
