// How fast text becomes tokens, with the vocabularies that models have: kinds of text that differ in what tokens they meet, and
// bytes at random, the worst case. All of it happens in JavaScript, in one thread.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Tokenizer as Hf } from "@huggingface/tokenizers";
import { BpeTokenizer } from "../src/text/bpe.ts";
import { unpackVocabulary } from "../src/text/packed.ts";
import type { Tokenizer } from "../src/text/tokenizer.ts";
import { WorldTokenizer } from "../src/text/world.ts";
import { measure } from "./lib/measure.ts";
import { list, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    tokenizers: "world,pile",
    /** Kilobytes of each kind of text. */
    size: "256",
    json: undefined as string | undefined,
  },
  { tokenizers: ["world", "pile"] },
);
const size = Number(chosen.size) * 1000;

/** The text over and over, cut to `size`. */
function filled(text: string): Uint8Array {
  const once = new TextEncoder().encode(text);
  return Uint8Array.from({ length: size }, (_, i) => once[i % once.length]);
}

let state = 1;
const random = (): number => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return state >>> 16;
};
const { cases } = JSON.parse(readFileSync("test/fixtures/world.json", "utf8")) as { cases: { text: string }[] };
const texts: Record<string, Uint8Array> = {
  stories: filled(readFileSync("bench/stories.txt", "utf8")),
  TypeScript: filled(readFileSync("src/engine/engine.ts", "utf8")),
  "many languages": filled(cases.map(({ text }) => text).join("\n")),
  Chinese: filled("\u5b69\u5b50\u4eec\u5728\u82b1\u56ed\u91cc\u73a9\u800d\uff0c\u5929\u7a7a\u5f88\u84dd\u3002"),
  spaces: filled(" "),
  "random bytes": Uint8Array.from({ length: size }, () => random() % 0xc0),
};

const makers: Record<string, () => Promise<Tokenizer>> = {
  world: async () =>
    new WorldTokenizer(await unpackVocabulary(new Uint8Array(readFileSync("weights/world.vocab"))), 65536),
  pile: async () => {
    const path = createRequire(import.meta.url).resolve("rwkv-tokenizer-node/20B_tokenizer.json");
    return new BpeTokenizer(readFileSync(path), Hf);
  },
};

const report = new Report("Tokenizers", chosen.json);
const made: [string, Tokenizer][] = [];
const row = report.table("Making one", ["tokenizer", "ids", "ms", "trie MB"]);
for (const name of list(chosen.tokenizers)) {
  const make = makers[name];
  if (!make) throw new Error(`There is no tokenizer ${name}; there are ${Object.keys(makers).join(", ")}.`);
  const started = performance.now();
  const tokenizer = await make();
  const ms = performance.now() - started;
  const trie = tokenizer instanceof WorldTokenizer ? tokenizer.trie : undefined;
  const bytes = trie && trie.first.byteLength + trie.label.byteLength + trie.token.byteLength;
  row(name, tokenizer.size, ms, bytes ? bytes / 1e6 : "-");
  made.push([name, tokenizer]);
}

const speed = report.table(`Speed, ${chosen.size} kB of each text`, [
  "text",
  "tokenizer",
  "bytes/token",
  "encode MB/s",
  "decode MB/s",
]);
for (const [text, bytes] of Object.entries(texts)) {
  for (const [name, tokenizer] of made) {
    const ids = tokenizer.encode(bytes);
    const encode = await measure(() => tokenizer.encode(bytes), 0.5);
    const decode = await measure(() => tokenizer.decode(ids), 0.2);
    speed(
      text,
      name,
      bytes.length / ids.length,
      bytes.length / encode.median / 1e6,
      bytes.length / decode.median / 1e6,
    );
  }
}
report.end();
