/** A worker's death, told once to whoever asks: it may come before anybody asks, while a file's header is still read. */
export class Death {
  #reason: string | undefined;
  #expected = false;
  #listener: ((reason: string) => void) | undefined;

  /** From now on nobody needs to hear of it. */
  expect(): void {
    this.#expected = true;
  }

  happened(reason: string): void {
    if (this.#expected || this.#reason !== undefined) return;
    this.#reason = reason;
    this.#listener?.(reason);
  }

  onDeath(listener: (reason: string) => void): void {
    if (this.#reason === undefined) this.#listener = listener;
    else listener(this.#reason);
  }
}
