/**
 * The tokenizer of RWKV World models: from each position the longest token that matches, over bytes, with no
 * pre-tokenisation and no normalisation. Where every single byte is a token, any byte string survives the round trip.
 * A byte-level vocabulary is the same thing with tokens of one byte.
 */
import { RwkvError } from "../errors.ts";
import type { Vocabulary } from "../types.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { Trie } from "./trie.ts";
import { textOf, utf8 } from "./utf8.ts";

const NOTHING = new Uint8Array(0);

export class WorldTokenizer implements Tokenizer {
  readonly kind: "world" | "bytes";
  readonly size: number;
  readonly bos?: number;
  readonly eos: readonly number[];
  /** The tokens by their bytes, for decoding under constraints. */
  readonly trie: Trie;
  readonly #tokens: readonly Uint8Array[];

  /**
   * @param vocabulary the tokens; one without bytes matches no text and decodes to nothing.
   * @param size the number of ids the model knows, when its table is longer than the vocabulary (65,536 for World's
   * 65,530): the ids left over are tokens without bytes.
   * @throws RwkvError `input` if the vocabulary has more ids than `size`; `unsupported` if it exceeds the trie's limits.
   */
  constructor(vocabulary: Vocabulary, size: number = vocabulary.tokens.length) {
    if (vocabulary.tokens.length > size)
      throw new RwkvError(
        "input",
        `the vocabulary has ${vocabulary.tokens.length} ids but the model only ${size}: it belongs to another model`,
      );
    this.kind = vocabulary.kind;
    this.size = size;
    this.bos = vocabulary.bos;
    this.eos = vocabulary.eos;
    this.trie = new Trie(vocabulary.tokens);
    this.#tokens = vocabulary.tokens;
  }

  encode(text: string | Uint8Array): Uint32Array {
    const bytes = typeof text === "string" ? utf8(text) : text;
    if (!(bytes instanceof Uint8Array))
      throw new RwkvError("input", `only a string or a Uint8Array can be turned into tokens, not ${typeof text}`);
    const { trie } = this;
    const { token } = trie;
    const { length } = bytes;
    const ids = new Uint32Array(length);
    let count = 0;
    for (let at = 0; at < length; ) {
      let id = -1;
      let next = at;
      let node = 0;
      for (let i = at; i < length; ) {
        node = trie.child(node, bytes[i++]);
        if (node < 0) break;
        if (token[node] >= 0) {
          id = token[node];
          next = i;
        }
      }
      if (id < 0)
        throw new RwkvError(
          "input",
          `this vocabulary has no token for the byte 0x${bytes[at].toString(16).padStart(2, "0")} at byte ${at} of the text`,
        );
      ids[count++] = id;
      at = next;
    }
    return ids.slice(0, count);
  }

  decode(ids: Iterable<number>): string {
    return textOf(Array.from(ids, (id) => this.bytes(id)));
  }

  bytes(id: number): Uint8Array {
    if (!(Number.isInteger(id) && id >= 0 && id < this.size))
      throw new RwkvError("input", `token ${id} is out of range: this model's tokens are 0 to ${this.size - 1}`);
    return this.#tokens[id] ?? NOTHING;
  }
}
