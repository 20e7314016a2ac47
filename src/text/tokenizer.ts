/**
 * What every tokenizer offers, whatever its kind: text to token ids and back.
 *
 * A tokenizer adds nothing of its own to the text: the token that starts a document (`bos`) is put there by whoever
 * builds a prompt.
 */
export interface Tokenizer {
  /** "world", "bytes", "bpe", or a word for a tokenizer of another kind. */
  readonly kind: string;
  /** The number of ids; every id is below it. */
  readonly size: number;
  /** The token that starts a document, if there is one. */
  readonly bos?: number;
  /** Tokens that end a document. */
  readonly eos: readonly number[];
  /**
   * The ids of a text, or of raw bytes (which need not be UTF-8).
   *
   * @throws RwkvError `input` if the string holds half a surrogate pair, or a byte has no token.
   */
  encode(text: string | Uint8Array): Uint32Array;
  /**
   * The text of ids. Bytes that are not UTF-8 become U+FFFD; a byte order mark is kept.
   *
   * @throws RwkvError `input` if an id is out of range.
   */
  decode(ids: Iterable<number>): string;
  /**
   * The bytes of one token: part of a character, perhaps, or nothing. The array belongs to the tokenizer and must not
   * be changed.
   *
   * @throws RwkvError `input` if the id is out of range.
   */
  bytes(id: number): Uint8Array;
}
