/**
 * The World vocabulary inside a GGUF file. Its tokens are bytes, while GGUF has only text: llama.cpp's converter writes
 * each token as Python prints bytes (`\xff`, `\t`, `\n`, `\r`, `\\`, `\'`), and that is undone here.
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

  const encoder = new TextEncoder();
  const tokens = list.value.map((text, id) => {
    const type = types ? Number(types[id]) : NORMAL;
    if (type === UNKNOWN || type === CONTROL || type === UNUSED) return new Uint8Array(0);
    const bytes = unescapeToken(encoder.encode(text));
    if (!bytes)
      throw damaged(file, `token ${id} is ${JSON.stringify(text)}, which ends inside an escape or has a wrong one`);
    return bytes;
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
const PLAIN: Readonly<Record<string, number>> = { t: 0x09, n: 0x0a, r: 0x0d };

/** The bytes that an escaped token stands for; `undefined` if an escape is incomplete. Any other escaped character means itself. */
function unescapeToken(escaped: Uint8Array): Uint8Array | undefined {
  const bytes = new Uint8Array(escaped.length);
  let length = 0;
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] !== BACKSLASH) {
      bytes[length++] = escaped[i];
      continue;
    }
    if (++i === escaped.length) return undefined;
    const letter = String.fromCharCode(escaped[i]);
    if (letter === "x") {
      const digits = String.fromCharCode(...escaped.subarray(i + 1, i + 3));
      if (!/^[0-9a-f]{2}$/i.test(digits)) return undefined;
      bytes[length++] = Number.parseInt(digits, 16);
      i += 2;
    } else {
      bytes[length++] = PLAIN[letter] ?? escaped[i];
    }
  }
  return bytes.slice(0, length);
}

function damaged(file: string, problem: string): RwkvError {
  return new RwkvError("weights", `${file}: ${problem}; the vocabulary in the file is damaged`);
}
