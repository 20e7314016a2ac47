/** Numbered places of which there are so many: taken at once or waited for, first come, first served. */
export class Places {
  readonly count: number;
  readonly #free: number[];
  readonly #waiting: ((place: number) => void)[] = [];

  /** Places `first` to `first + count - 1`, lower ones first. */
  constructor(count: number, first = 0) {
    this.count = count;
    this.#free = Array.from({ length: count }, (_, i) => first + count - 1 - i);
  }

  /** A free place, if there is one. */
  take(): number | undefined {
    return this.#free.pop();
  }

  /** A free place, as soon as there is one. Rejects with the signal's reason. */
  wait(signal?: AbortSignal): Promise<number> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const place = this.take();
    if (place !== undefined) return Promise.resolve(place);
    return new Promise((resolve, reject) => {
      const come = (free: number) => {
        signal?.removeEventListener("abort", leave);
        resolve(free);
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(come), 1);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.push(come);
    });
  }

  give(place: number): void {
    const next = this.#waiting.shift();
    if (next) next(place);
    else this.#free.push(place);
  }
}
