/**
 * Reads JSON from outside: the header of a safetensors file, the index of its shards, config.json, a tokenizer, a saved state. Before a byte
 * becomes a value, what the text would become is counted, since a few megabytes of brackets can cost a gigabyte.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";

/**
 * What 65,536 tensors in a safetensors header need, rounded up: of each a name, an object of three keys, and two lists, which
 * hold ten numbers at most.
 */
const LIMITS = { depth: 8, containers: 200_000, keys: 350_000, commas: 1_000_000 };

/** A small file's text as JSON; `weights` if it is none, `unsupported` if it is longer than `limit` bytes. */
export async function readJson(source: Source, limit: number, signal?: AbortSignal): Promise<unknown> {
  if (source.size > limit)
    throw new RwkvError("unsupported", `${source.name} is longer than the ${limit} bytes that such a file may have`);
  return parseJson(source.name, await source.read(0, source.size, signal));
}

/** The bytes as JSON; `weights`, naming the file, if they are not, or would become more values than any model's. */
export function parseJson(file: string, bytes: Uint8Array): unknown {
  const excess = excessOf(bytes);
  if (excess) throw new RwkvError("weights", `${file}: its JSON ${excess}, unlike any model's; the file is damaged`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new RwkvError("weights", `${file}: what should be JSON is not; the file is damaged`, { cause });
  }
}

/** Whether a JSON value is an object with keys. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const [QUOTE, COMMA, COLON, OPEN_LIST, ESCAPE, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...'",:[\\]{}'].map((c) =>
  c.charCodeAt(0),
);

/** What the text has more of than `LIMITS` allow. Bytes of longer UTF-8 sequences are none of those looked for. */
function excessOf(bytes: Uint8Array): string | undefined {
  let [depth, containers, keys, commas] = [0, 0, 0, 0];
  let quoted = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === ESCAPE) at++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (++depth > LIMITS.depth) return `is nested deeper than ${LIMITS.depth} (byte ${at} of it)`;
      if (++containers > LIMITS.containers) return `has more than ${LIMITS.containers} objects and lists`;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
    else if (byte === COLON) {
      if (++keys > LIMITS.keys) return `has more than ${LIMITS.keys} keys`;
    } else if (byte === COMMA && ++commas > LIMITS.commas) return `has more than ${LIMITS.commas} values`;
  }
  return undefined;
}
