/**
 * Reads a `tokenizer.json` that describes byte-level BPE, and checks it, because it may come from anywhere and because
 * @huggingface/tokenizers passes over much in silence: what it gets from here has tokens for all text, merges that lead
 * to tokens, ids that are unique, and no regular expressions of strangers.
 */
import { isRecord, parseJson } from "../bytes/json.ts";
import { RwkvError } from "../errors.ts";
import { MAX_TOKEN_BYTES } from "./trie.ts";
import { MAX_IDS } from "./vocab.ts";

export interface TokenizerJson {
  /** The bytes of each id; none where the file has no token. */
  readonly tokens: readonly Uint8Array[];
  /** The token of each single byte, or -1. */
  readonly byteTokens: Int32Array;
  /** The token between documents, if there is one. */
  readonly end: number | undefined;
  /** The file without how tokens become text, and without the tokens that are to be put around every text. */
  readonly parts: object;
}

type Json = Record<string, unknown>;
/** Throws: what is wrong with the file. */
type Fail = (what: string) => never;

/** UTF-16 units, or bytes. The Pile's file has 2.5 million. */
const MAX_FILE = 1 << 25;
/** How such files name the token between documents. */
const END_OF_TEXT = "<|endoftext|>";
/** Normalisations of Unicode, which need nothing but their name. */
const NORMALIZERS = ["NFC", "NFD", "NFKC", "NFKD"];
/** Parts of a BPE model that change what tokens are, and that the Pile's has not. */
const FOREIGN = [
  "dropout",
  "continuing_subword_prefix",
  "continuing_subword_suffix",
  "end_of_word_suffix",
  "byte_fallback",
];
const NOTHING = new Uint8Array(0);

/** The character that stands for each byte in the names of tokens: itself if it can be seen, else the next from U+0100 on. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  const visible = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(visible(byte) ? byte : next++));
})();
const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

/**
 * @param json the file's content.
 * @param name the file's name, for messages.
 * @throws RwkvError `weights` if the file is damaged or contradicts itself; `unsupported` if it describes another kind of tokenizer.
 */
export function readTokenizerJson(json: string | Uint8Array, name: string): TokenizerJson {
  const damaged: Fail = (what) => {
    throw new RwkvError("weights", `${name}: ${what}; the file is damaged, or no tokenizer.json`);
  };
  const unsupported: Fail = (what) => {
    throw new RwkvError(
      "unsupported",
      `${name}: ${what}; only plain byte-level BPE is read here, so give a tokenizer of your own as \`vocabulary\``,
    );
  };

  const { model, added_tokens: added = [], normalizer = null, pre_tokenizer: split } = parse(json, name, damaged);
  if (!isRecord(model) || !isRecord(model.vocab) || !Array.isArray(model.merges) || !Array.isArray(added))
    return damaged("it has no model with a vocabulary and merges");
  checkKind(model, normalizer, split, unsupported);
  const { vocab, merges } = model;

  const tokens = new Tokens(damaged);
  for (const [text, id] of Object.entries(vocab)) tokens.add(id, text, bytesOf(text, unsupported));
  checkMerges(merges, vocab, damaged);
  const end = readAdded(added, vocab, tokens, damaged, unsupported);

  const byteTokens = Int32Array.from(BYTE_CHARACTERS, (byte) =>
    Object.hasOwn(vocab, byte) ? Number(vocab[byte]) : -1,
  );
  // 0xc0, 0xc1 and 0xf5 to 0xff never occur in UTF-8, and the Pile's vocabulary has no tokens for them.
  const missing = byteTokens.findIndex((id, byte) => id < 0 && byte !== 0xc0 && byte !== 0xc1 && byte < 0xf5);
  if (missing >= 0) unsupported(`it has no token for the byte 0x${missing.toString(16).padStart(2, "0")}`);
  const parts = {
    model: { ...model, type: "BPE" }, // old files do not say it
    added_tokens: added,
    normalizer,
    pre_tokenizer: split,
    post_processor: null,
    decoder: null,
  };
  return { tokens: tokens.list(), byteTokens, end, parts };
}

function parse(json: string | Uint8Array, name: string, damaged: Fail): Json {
  if (json.length > MAX_FILE)
    return damaged(`it is too large for a vocabulary (${json.length} bytes, limit ${MAX_FILE})`);
  const value = parseJson(name, typeof json === "string" ? new TextEncoder().encode(json) : json);
  return isRecord(value) ? value : damaged("it holds no object");
}

function checkKind(model: Json, normalizer: unknown, split: unknown, unsupported: Fail): void {
  if ((model.type ?? "BPE") !== "BPE") unsupported(`its model is of the type ${JSON.stringify(model.type)}`);
  for (const key of FOREIGN) if (model[key]) unsupported(`its model has ${key}`);
  if (normalizer !== null && !(isRecord(normalizer) && NORMALIZERS.includes(normalizer.type as string)))
    unsupported("its normalizer is none of NFC, NFD, NFKC and NFKD");
  const plain = isRecord(split) && split.type === "ByteLevel" && !split.add_prefix_space && (split.use_regex ?? true);
  if (!plain) unsupported("its pre_tokenizer is not ByteLevel alone, without add_prefix_space");
}

function bytesOf(token: string, unsupported: Fail): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTES.get(character);
    if (byte === undefined) return unsupported(`the token ${quote(token)} is not written in characters for bytes`);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** A merge whose result is no token would make text vanish. */
function checkMerges(merges: unknown[], vocab: Json, damaged: Fail): void {
  for (const [i, merge] of merges.entries()) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const sound = Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string" && part);
    if (!sound) damaged(`merge ${i} is not a pair of tokens`);
    const [left, right] = pair as [string, string];
    for (const part of [left, right, left + right])
      if (!Object.hasOwn(vocab, part)) damaged(`merge ${i} needs the token ${quote(part)}, which is missing`);
  }
}

/** Tokens that are found in a text before all merging, and stand for themselves. Returns the one that ends a text. */
function readAdded(
  added: unknown[],
  vocab: Json,
  tokens: Tokens,
  damaged: Fail,
  unsupported: Fail,
): number | undefined {
  let end: number | undefined;
  for (const [i, token] of added.entries()) {
    if (!isRecord(token) || typeof token.content !== "string" || token.content === "")
      return damaged(`added token ${i} has no text`);
    const { content, id } = token;
    if (token.lstrip || token.rstrip || token.single_word)
      unsupported(`the added token ${quote(content)} has lstrip, rstrip or single_word`);
    if (Object.hasOwn(vocab, content) && vocab[content] !== id) damaged(`the token ${quote(content)} has two ids`);
    tokens.add(id, content, new TextEncoder().encode(content));
    if (content === END_OF_TEXT && token.special) end = Number(id);
  }
  return end;
}

/** Tokens by id, of which each has one. */
class Tokens {
  readonly #bytes: Uint8Array[] = [];

  constructor(private readonly damaged: Fail) {}

  add(id: unknown, text: string, bytes: Uint8Array): void {
    const { damaged } = this;
    const sound = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_IDS;
    const at = sound ? id : damaged(`the token ${quote(text)} has the id ${id} (ids are integers below ${MAX_IDS})`);
    if (bytes.length > MAX_TOKEN_BYTES)
      damaged(`token ${at} has ${bytes.length} bytes (the limit is ${MAX_TOKEN_BYTES})`);
    const before = this.#bytes[at];
    const same = !before || (before.length === bytes.length && before.every((byte, i) => byte === bytes[i]));
    if (!same) damaged(`the id ${at} is given to two tokens, one of them ${quote(text)}`);
    this.#bytes[at] = bytes;
  }

  /** All ids up to the highest. */
  list(): Uint8Array[] {
    return Array.from(this.#bytes, (bytes) => bytes ?? NOTHING);
  }
}

/** A token in a message: its beginning, if it is long. */
const quote = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
