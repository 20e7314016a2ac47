/**
 * Byte-level BPE, the tokenizers of GPT-2's family, as a `tokenizer.json` describes them: that of RWKV-4's Pile models is
 * the one of GPT-NeoX-20B. The package @huggingface/tokenizers, which not everybody needs, does the merging, with the
 * file as `tokenizer-json.ts` has checked it; what bytes a token stands for is known here.
 */
import { RwkvError } from "../errors.ts";
import type { HfTokenizer } from "../types.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { readTokenizerJson } from "./tokenizer-json.ts";
import { characterLength, textOf, utf8 } from "./utf8.ts";

export class BpeTokenizer implements Tokenizer {
  readonly kind = "bpe";
  readonly size: number;
  readonly bos?: number;
  readonly eos: readonly number[];
  readonly #tokens: readonly Uint8Array[];
  /** The token of each byte, or -1. */
  readonly #byteTokens: Int32Array;
  readonly #hf: InstanceType<HfTokenizer>;

  /**
   * @param json the content of a `tokenizer.json`.
   * @param Hf the class `Tokenizer` of the package @huggingface/tokenizers.
   * @param name the file's name, for messages.
   * @throws RwkvError `input` if `Hf` is no class; `weights` if the file is damaged or contradicts itself; `unsupported`, naming the part, if it describes
   * anything else than plain byte-level BPE.
   */
  constructor(json: string | Uint8Array, Hf: HfTokenizer, name = "tokenizer.json") {
    if (typeof Hf !== "function")
      throw new RwkvError("input", "a tokenizer.json needs the class Tokenizer of the package @huggingface/tokenizers");
    const { tokens, byteTokens, end, parts } = readTokenizerJson(json, name);
    this.size = tokens.length;
    this.bos = end;
    this.eos = end === undefined ? [] : [end];
    this.#tokens = tokens;
    this.#byteTokens = byteTokens;
    this.#hf = new Hf(parts, {});
  }

  /** As `Tokenizer` says. A string is normalised as the file wants it; bytes are not, so they come back as they were. */
  encode(text: string | Uint8Array): Uint32Array {
    if (typeof text === "string") {
      utf8(text); // refuses half characters
      return Uint32Array.from(this.#ids(text));
    }
    if (!(text instanceof Uint8Array))
      throw new RwkvError("input", `only a string or a Uint8Array can be turned into tokens, not ${typeof text}`);
    const hf = this.#hf;
    const { normalizer } = hf;
    hf.normalizer = null;
    try {
      return Uint32Array.from(this.#idsOfBytes(text));
    } finally {
      hf.normalizer = normalizer;
    }
  }

  decode(ids: Iterable<number>): string {
    return textOf(Array.from(ids, (id) => this.bytes(id)));
  }

  bytes(id: number): Uint8Array {
    if (!(Number.isInteger(id) && id >= 0 && id < this.size))
      throw new RwkvError("input", `token ${id} is out of range: this vocabulary's tokens are 0 to ${this.size - 1}`);
    return this.#tokens[id];
  }

  #ids(text: string): number[] {
    return this.#hf.encode(text, { add_special_tokens: false }).ids;
  }

  /** Stretches of UTF-8 as text, bytes between them one by one. */
  #idsOfBytes(bytes: Uint8Array): number[] {
    const ids: number[][] = [];
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let from = 0;
    for (let at = 0; at <= bytes.length; ) {
      const length = at < bytes.length ? characterLength(bytes, at) : 0;
      if (length > 0) {
        at += length;
        continue;
      }
      if (at > from) ids.push(this.#ids(decoder.decode(bytes.subarray(from, at))));
      if (at < bytes.length) {
        const id = this.#byteTokens[bytes[at]];
        if (id < 0)
          throw new RwkvError(
            "input",
            `this vocabulary has no token for the byte 0x${bytes[at].toString(16).padStart(2, "0")} at byte ${at} of the text`,
          );
        ids.push([id]);
      }
      from = ++at;
    }
    return ids.flat();
  }
}
