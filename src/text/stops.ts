/**
 * Finds the first of several strings to be complete in bytes that come piece by piece, wherever the pieces' borders are. Each
 * string is followed by its own automaton (Knuth, Morris and Pratt 1977): there are few, and a byte costs each a step or so.
 */
export class StopFinder {
  readonly #stops: readonly Uint8Array[];
  /** Per string and number of bytes that match: how many match still when the next one does not. */
  readonly #fallbacks: readonly Int32Array[];
  /** How many bytes of each string the last bytes are. */
  readonly #matched: number[];
  #bytes = 0;

  /** `stops`: none of them empty. */
  constructor(stops: readonly Uint8Array[]) {
    this.#stops = stops;
    this.#fallbacks = stops.map(fallbacksOf);
    this.#matched = stops.map(() => 0);
  }

  /** How many of the bytes so far cannot belong to a string that is still to be completed. */
  get certain(): number {
    return this.#bytes - Math.max(0, ...this.#matched);
  }

  /**
   * Takes more bytes. When a string is complete: which, and where it begins, counted from the first byte of all. Of those that end at
   * one byte it is the longest. After that the search is over.
   */
  push(bytes: Uint8Array): { stop: number; at: number } | undefined {
    for (const byte of bytes) {
      this.#bytes++;
      let found = -1;
      this.#stops.forEach((stop, i) => {
        const fallbacks = this.#fallbacks[i]!;
        let n = this.#matched[i]!;
        while (n > 0 && stop[n] !== byte) n = fallbacks[n]!;
        if (stop[n] === byte) n++;
        this.#matched[i] = n;
        if (n === stop.length && (found < 0 || n > this.#stops[found]!.length)) found = i;
      });
      if (found >= 0) return { stop: found, at: this.#bytes - this.#stops[found]!.length };
    }
    return undefined;
  }
}

function fallbacksOf(stop: Uint8Array): Int32Array {
  const fallbacks = new Int32Array(stop.length + 1);
  let n = 0;
  for (let i = 1; i < stop.length; i++) {
    while (n > 0 && stop[n] !== stop[i]) n = fallbacks[n]!;
    if (stop[n] === stop[i]) n++;
    fallbacks[i + 1] = n;
  }
  return fallbacks;
}
