/**
 * Vocabularies from text: the World format, one token a line, `id 'literal' length`.
 *
 * The literal is Python's, with `'` or `"`, a string (whose UTF-8 bytes are the token) or `b''` bytes; it lies between
 * the first and the last space of the line and may itself contain spaces. The length counts bytes. Token 0 has no line:
 * it separates documents.
 */
import { RwkvError } from "../errors.ts";
import type { Vocabulary } from "../types.ts";
import { unquote } from "./literal.ts";
import { MAX_TOKEN_BYTES } from "./trie.ts";

/** Ids are below this. */
export const MAX_IDS = 1 << 20;
/** UTF-16 units; the longest token written in escapes needs a quarter. */
const MAX_LINE = 1 << 14;
/** Bytes, or UTF-16 units. World's file has 1.2 million. */
const MAX_FILE = 1 << 24;
const NOTHING = new Uint8Array(0);

/**
 * Reads a vocabulary in the World text format. Lines end in LF or CRLF; empty lines and ids without a line
 * are allowed, ids given twice and tokens given twice are not.
 *
 * @param text the file, as UTF-8 or as a string.
 * @param name the file's name, for messages.
 * @throws RwkvError `weights`, naming the line.
 */
export function parseVocabulary(text: string | Uint8Array, name = "the vocabulary"): Vocabulary {
  if (text.length > MAX_FILE)
    throw new RwkvError("weights", `${name}: too large for a vocabulary (${text.length} bytes, limit ${MAX_FILE})`);
  const tokens: Uint8Array[] = [];
  const lineOfToken = new Map<string, number>();
  const lineOfId = new Map<number, number>();
  const all = decode(text, name);
  let number = 0;
  for (let at = 0, end = 0; at < all.length; at = end + 1) {
    end = all.indexOf("\n", at);
    if (end < 0) end = all.length;
    const line = all.slice(at, all[end - 1] === "\r" ? Math.max(at, end - 1) : end);
    number++;
    if (line === "") continue;
    const fail = (what: string): never => {
      throw new RwkvError("weights", `${name}, line ${number}: ${what}`);
    };
    if (line.length > MAX_LINE) fail(`too long (${line.length} characters, limit ${MAX_LINE})`);
    const parts = /^(\d{1,9}) ([^\r]*) (\d{1,9})$/.exec(line);
    if (!parts) return fail("not of the form: id 'token' length");
    const id = Number(parts[1]);
    if (id === 0) fail("token 0 separates documents and can have no text");
    if (id >= MAX_IDS) fail(`token ${id} is out of range (ids are below ${MAX_IDS})`);
    if (lineOfId.has(id)) fail(`token ${id} was already given on line ${lineOfId.get(id)}`);
    const bytes = unquote(parts[2].trim(), fail);
    if (bytes.length !== Number(parts[3])) fail(`token ${id} has ${bytes.length} bytes, but the line says ${parts[3]}`);
    if (bytes.length > MAX_TOKEN_BYTES) fail(`token ${id} has ${bytes.length} bytes; the limit is ${MAX_TOKEN_BYTES}`);
    if (bytes.length > 0) {
      const key = String.fromCharCode(...bytes);
      if (lineOfToken.has(key)) fail(`token ${id} has the same bytes as the one on line ${lineOfToken.get(key)}`);
      lineOfToken.set(key, number);
    }
    lineOfId.set(id, number);
    while (tokens.length <= id) tokens.push(NOTHING);
    tokens[id] = bytes;
  }
  if (lineOfToken.size === 0) throw new RwkvError("weights", `${name}: no tokens in it`);
  return { kind: "world", tokens, bos: 0, eos: [0] };
}

/**
 * The vocabulary of a model over bytes: ids 0 to 255 are the bytes, ids from 256 on have none.
 *
 * @param size the number of ids, 1 or more; below 256 the upper bytes have no token.
 * @throws RwkvError `input` if `size` is not a sensible number.
 */
export function byteVocabulary(size: number): Vocabulary {
  if (!(Number.isInteger(size) && size >= 1 && size <= MAX_IDS))
    throw new RwkvError("input", `a vocabulary has 1 to ${MAX_IDS} ids, not ${size}`);
  return {
    kind: "bytes",
    tokens: Array.from({ length: size }, (_, id) => (id < 256 ? Uint8Array.of(id) : NOTHING)),
    eos: [],
  };
}

function decode(text: string | Uint8Array, name: string): string {
  if (typeof text === "string") return text.replace(/^\ufeff/, "");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch (cause) {
    throw new RwkvError("weights", `${name}: not UTF-8 text, so not a vocabulary`, { cause });
  }
}
