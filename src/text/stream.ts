/**
 * Tokens to text as they come. A token may end inside a character: its bytes wait for the rest. Bytes that are not
 * UTF-8 become U+FFFD as the Encoding Standard says, so the pieces joined are exactly the whole decoded at once.
 */
export class TextStream {
  // With `ignoreBOM` a byte order mark is text like any other; without it U+FEFF at the start would vanish.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** Takes the bytes of the next token and gives the text that is certain now, perhaps none. */
  push(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** Ends the text: U+FFFD for a character left unfinished, else nothing. The stream can then be used again. */
  flush(): string {
    return this.#decoder.decode();
  }
}
