/**
 * The World vocabulary inside a GGUF file, to and fro. Its tokens are bytes, while GGUF has only text: llama.cpp's converter
 * writes each token as Python prints bytes (`\xff`, `\t`, `\n`, `\r`, `\\`, `\'`).
 */
import { RwkvError } from "../errors.ts";
import type { Vocabulary } from "../types.ts";
import type { GgufValue } from "./gguf-values.ts";

/** llama.cpp's token types (`llama_token_type`) that are not text: their strings are labels, such as `<s>` and `[PAD7]`. */
const UNKNOWN = 2;
const CONTROL = 3;
const UNUSED = 5;
const NORMAL = 1;

/**
 * The vocabulary, or `undefined` if the file has none of this kind (`tokenizer.ggml.model` is not `rwkv`). Tokens that
 * are not text have no bytes. Token 0, the World models' end of text, starts and ends a text unless the file names
 * others. The file's end-of-turn token is not among them: in World models it is the empty line, which a chat stops at
 * and a story does not.
 *
 * Errors: `weights`, naming the file and the token, when the lists contradict each other or a token is not escaped soundly.
 */
export function vocabularyFromGguf(file: string, metadata: ReadonlyMap<string, GgufValue>): Vocabulary | undefined {
  const model = metadata.get("tokenizer.ggml.model");
  if (model?.type !== "string" || model.value !== "rwkv") return undefined;
  const list = metadata.get("tokenizer.ggml.tokens");
  if (list?.type !== "array" || list.of !== "string" || list.value.length === 0)
    throw damaged(file, "tokenizer.ggml.tokens is not a list of texts");
  const types = tokenTypes(file, metadata, list.value.length);

  // All tokens are parts of one array: three for each of 65,536 would be felt.
  const texts = list.value;
  const escaped = new Uint8Array(3 * texts.reduce((longest, { length }) => Math.max(longest, length), 0));
  const bytes = new Uint8Array(3 * texts.reduce((sum, { length }) => sum + length, 0));
  const encoder = new TextEncoder();
  let length = 0;
  const tokens = texts.map((text, id) => {
    const type = types ? Number(types[id]) : NORMAL;
    if (type === UNKNOWN || type === CONTROL || type === UNUSED) return bytes.subarray(0, 0);
    const start = length;
    length = unescapeToken(escaped, encoder.encodeInto(text, escaped).written, bytes, start);
    if (length < 0)
      throw damaged(file, `token ${id} is ${JSON.stringify(text)}, which ends inside an escape or has a wrong one`);
    return bytes.subarray(start, length);
  });

  const end = types && Number(types[0]) === CONTROL ? 0 : undefined;
  const bos = specialToken(file, metadata, "bos", tokens.length) ?? end;
  const eos = specialToken(file, metadata, "eos", tokens.length) ?? end;
  return { kind: "world", tokens, ...(bos !== undefined && { bos }), eos: eos === undefined ? [] : [eos] };
}

function tokenTypes(file: string, metadata: ReadonlyMap<string, GgufValue>, count: number) {
  const types = metadata.get("tokenizer.ggml.token_type");
  if (!types) return undefined;
  if (types.type !== "array" || types.of === "string" || types.value.length !== count)
    throw damaged(file, `tokenizer.ggml.token_type does not give a number for each of the ${count} tokens`);
  return types.value;
}

function specialToken(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  which: string,
  count: number,
): number | undefined {
  const key = `tokenizer.ggml.${which}_token_id`;
  const id = metadata.get(key);
  if (!id) return undefined;
  if (id.type !== "u32" || id.value >= count) throw damaged(file, `${key} is not one of the ${count} tokens`);
  return id.value;
}

const BACKSLASH = 0x5c;
const HEX = 0x78;
/** `\\t`, `\\n`, `\\r`. */
const PLAIN: ReadonlyMap<number, number> = new Map([
  [0x74, 0x09],
  [0x6e, 0x0a],
  [0x72, 0x0d],
]);

/** The value of a hexadecimal digit, or -1. */
function digit(character: number): number {
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  const letter = (character | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

/**
 * Writes the bytes that `count` escaped ones stand for to `into`, from `at` on; answers where they end, or -1 if an escape is
 * incomplete. Any other escaped character means itself.
 */
function unescapeToken(escaped: Uint8Array, count: number, into: Uint8Array, at: number): number {
  let end = at;
  for (let i = 0; i < count; i++) {
    if (escaped[i] !== BACKSLASH) {
      into[end++] = escaped[i];
      continue;
    }
    if (++i === count) return -1;
    if (escaped[i] === HEX) {
      if (i + 2 >= count) return -1;
      const [high, low] = [digit(escaped[++i]), digit(escaped[++i])];
      if (high < 0 || low < 0) return -1;
      into[end++] = high * 16 + low;
    } else {
      into[end++] = PLAIN.get(escaped[i]) ?? escaped[i];
    }
  }
  return end;
}

/** World's empty line, which ends a turn of its chats. */
const END_OF_TURN = { id: 261, text: "\\n\\n" };

/**
 * The metadata that describes a vocabulary as llama.cpp's converter does: tokens without text are `<s>` (token 0) and
 * `[PADn]`. For World, that includes its chat format by the name that llama.cpp has for it, and the token that ends a turn.
 */
export function vocabularyToGguf({
  tokens,
  bos,
  eos,
}: Pick<Vocabulary, "tokens" | "bos" | "eos">): Map<string, GgufValue> {
  const texts = tokens.map((bytes, id) => (bytes.length > 0 ? escapeToken(bytes) : id === 0 ? "<s>" : `[PAD${id}]`));
  const types = Int32Array.from(tokens, (bytes, id) => (bytes.length > 0 ? NORMAL : id === 0 ? CONTROL : UNUSED));
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "rwkv" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: texts }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: types }],
  ]);
  const special = (which: string, id: number | undefined) => {
    if (id !== undefined) metadata.set(`tokenizer.ggml.${which}_token_id`, { type: "u32", value: id });
  };
  special("bos", bos);
  special("eos", eos[0]);
  special("unknown", bos);
  if (texts[END_OF_TURN.id] === END_OF_TURN.text) {
    special("eot", END_OF_TURN.id);
    metadata.set("tokenizer.chat_template", { type: "string", value: "rwkv-world" });
  }
  return metadata;
}

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const ESCAPED: ReadonlyMap<number, string> = new Map([
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0d, "\\r"],
  [BACKSLASH, "\\\\"],
]);

/** Bytes as Python prints them, without the quotes around, which are double ones if only that saves escaping. */
function escapeToken(bytes: Uint8Array): string {
  const escapesQuotes = bytes.includes(QUOTE) && bytes.includes(DOUBLE_QUOTE);
  return Array.from(bytes, (byte) => {
    if (byte === QUOTE) return escapesQuotes ? "\\'" : "'";
    const escaped = ESCAPED.get(byte);
    if (escaped) return escaped;
    return byte < 0x20 || byte > 0x7e ? `\\x${byte.toString(16).padStart(2, "0")}` : String.fromCharCode(byte);
  }).join("");
}

function damaged(file: string, problem: string): RwkvError {
  return new RwkvError("weights", `${file}: ${problem}; the vocabulary in the file is damaged`);
}
