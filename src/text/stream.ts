/**
 * Tokens to text as they come. A token may end inside a character: its bytes wait for the rest. Bytes that are not
 * UTF-8 become U+FFFD as the Encoding Standard says, so the pieces joined are exactly the whole decoded at once.
 */
export class TextStream {
  // With `ignoreBOM` a byte order mark is text like any other; without it U+FEFF at the start would vanish.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** The last bytes, at most three: as many as a character can be waiting with. */
  #tail: number[] = [];

  /** Takes the bytes of the next token and gives the text that is certain now, perhaps none. */
  push(bytes: Uint8Array): string {
    this.#tail = [...this.#tail, ...bytes.subarray(-3)].slice(-3);
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** Whether the text may end within a character; true whenever `flush` would give something. */
  get unfinished(): boolean {
    for (let i = 1; i <= this.#tail.length; i++) {
      const byte = this.#tail[this.#tail.length - i]!;
      if (byte >= 0x80 && byte < 0xc0) continue; // goes on what came before
      return byte >= 0xc2 && i < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2);
    }
    return false;
  }

  /** Ends the text: U+FFFD for a character left unfinished, else nothing. The stream can then be used again. */
  flush(): string {
    this.#tail = [];
    return this.#decoder.decode();
  }
}
