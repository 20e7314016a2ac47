/**
 * The packed form in which the World vocabulary is shipped: a tenth of the text file's size.
 *
 * gzip (which brings the checksum) around: the bytes `RVOC`, the number of tokens n as u32, little endian, then for
 * all tokens in ascending order of their bytes
 *
 * - n bytes: how many leading bytes each shares with the one before,
 * - n bytes: how many bytes follow,
 * - those bytes.
 *
 * Ids are not stored. World numbers its tokens from 1 by length, then by bytes, so the order of the tokens says it all.
 * `scripts/vocabulary.ts` writes the form, after checking that the vocabulary has that order.
 */
import { RwkvError } from "../errors.ts";
import type { Vocabulary } from "../types.ts";

/** Of the unpacked bytes; World's take 0.4 MB. */
const MAX_UNPACKED = 1 << 22;
const MAX_TOKENS = 65535;
const MAGIC = [0x52, 0x56, 0x4f, 0x43];

/**
 * Unpacks a vocabulary.
 *
 * @param packed the file.
 * @param name the file's name, for messages.
 * @throws RwkvError `weights` if the file is damaged or no packed vocabulary.
 */
export async function unpackVocabulary(packed: Uint8Array<ArrayBuffer>, name = "the vocabulary"): Promise<Vocabulary> {
  const fail = (what: string, cause?: unknown): never => {
    throw new RwkvError("weights", `${name}: ${what}; fetch the file again`, { cause });
  };
  const data = await gunzip(packed, fail);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 8 || MAGIC.some((byte, i) => data[i] !== byte)) fail("not a packed vocabulary");
  const count = view.getUint32(4, true);
  if (count === 0 || count > MAX_TOKENS || 8 + 2 * count > data.length) fail(`${count} tokens do not fit in this file`);
  const shared = data.subarray(8, 8 + count);
  const added = data.subarray(8 + count, 8 + 2 * count);
  const suffixes = data.subarray(8 + 2 * count);

  // Where in `bytes` each token starts, in ascending order of the tokens; and how many tokens have each length.
  const start = new Uint32Array(count + 1);
  const ofLength = new Uint32Array(512);
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const before = i > 0 ? start[i] - start[i - 1] : 0;
    if (shared[i] > before || added[i] === 0) fail(`token ${i} of the sorted list does not follow from the one before`);
    taken += added[i];
    start[i + 1] = start[i] + shared[i] + added[i];
    ofLength[shared[i] + added[i]]++;
  }
  if (taken !== suffixes.length) fail(`the tokens take ${taken} bytes, but there are ${suffixes.length}`);

  // The next id for each length: ids run by length first.
  const nextId = new Uint32Array(512);
  for (let length = 1, id = 1; length < 512; length++) {
    nextId[length] = id;
    id += ofLength[length];
  }
  const bytes = new Uint8Array(start[count]);
  const tokens: Uint8Array[] = new Array(count + 1).fill(bytes.subarray(0, 0));
  for (let i = 0, from = 0; i < count; i++) {
    const at = start[i];
    if (shared[i] < at - (i > 0 ? start[i - 1] : 0) && suffixes[from] <= bytes[start[i - 1] + shared[i]])
      fail(`token ${i} of the sorted list is out of order`);
    if (i > 0) bytes.copyWithin(at, start[i - 1], start[i - 1] + shared[i]);
    bytes.set(suffixes.subarray(from, from + added[i]), at + shared[i]);
    from += added[i];
    tokens[nextId[start[i + 1] - at]++] = bytes.subarray(at, start[i + 1]);
  }
  return { kind: "world", tokens, bos: 0, eos: [0] };
}

async function gunzip(
  packed: Uint8Array<ArrayBuffer>,
  fail: (what: string, cause?: unknown) => never,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let total = 0;
  try {
    const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      total += value.length;
      parts.push(value);
      if (total > MAX_UNPACKED) {
        await reader.cancel();
        break;
      }
    }
  } catch (cause) {
    return fail("it is damaged or not compressed with gzip", cause);
  }
  if (total > MAX_UNPACKED) fail(`it unpacks to more than ${MAX_UNPACKED} bytes`);
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
