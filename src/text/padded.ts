/** A tokenizer for a model whose table is longer than the vocabulary, as tables often are, for the sake of round numbers. */
import { RwkvError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

const NOTHING = new Uint8Array(0);

/**
 * The tokenizer with `size` ids: those left over are tokens without bytes.
 *
 * @throws RwkvError `input` if the tokenizer has more.
 */
export function padded(tokenizer: Tokenizer, size: number): Tokenizer {
  const { size: own, bos } = tokenizer;
  if (own === size) return tokenizer;
  if (own > size)
    throw new RwkvError(
      "input",
      `the vocabulary has ${own} ids but the model only ${size}: it belongs to another model`,
    );
  const leftOver = (id: number) => Number.isInteger(id) && id >= own && id < size;
  return {
    kind: tokenizer.kind,
    size,
    ...(bos !== undefined && { bos }),
    eos: tokenizer.eos,
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(Array.from(ids).filter((id) => !leftOver(id))),
    bytes: (id) => (leftOver(id) ? NOTHING : tokenizer.bytes(id)),
  };
}
