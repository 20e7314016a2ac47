/** Writing for people and for pipes. */

import { reasonOf } from "./system.ts";

/** Resolves when the text was taken, so that a closed pipe is noticed at once and a slow one is waited for. */
export function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (!error) return resolve();
      const isClosed = (error as NodeJS.ErrnoException).code === "EPIPE";
      const what = isClosed
        ? "the output was closed before the text was complete"
        : `the output cannot be written: ${reasonOf(error)}`;
      reject(new Error(what, { cause: error }));
    });
  });
}

/** Text without control characters other than tab and line feed: a model's text, or a file's names, must not steer a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, "");
}

/** A line on standard error that is no error. */
export function warn(message: string): void {
  process.stderr.write(`rwkv: warning: ${printable(message).replaceAll("\n", " ")}\n`);
}

/** Whether a stream is a terminal whose user wants colours. */
export function hasColors(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY && stream.hasColors();
}

/** Text in less bright letters, where there are colours. */
export function dim(stream: NodeJS.WriteStream, text: string): string {
  return hasColors(stream) ? `\x1b[2m${text}\x1b[22m` : text;
}

/** How many tokens came, and how quickly: `ms` for so many of them. */
export function speedText(tokens: number, ms: number, counted: number): string {
  const rate = (counted / ms) * 1000;
  const speed = counted > 0 && ms > 0 ? ` at ${rate.toFixed(rate < 10 ? 2 : 0)} per second` : "";
  return `${tokens} token${tokens === 1 ? "" : "s"}${speed}`;
}

/** Characters of a bar that shows how far something has come. */
const BAR = 24;

/** How far something has come, in one line of a terminal that is gone when it is done. Pipes and files see nothing of it. */
export class Progress {
  readonly #stream = process.stderr;
  readonly #what: string;
  readonly #started = performance.now();
  #shown = -1;

  constructor(what: string) {
    this.#what = what;
  }

  /** `loaded` of `total`. What is done in a third of a second is not worth showing. */
  readonly update = ({ loaded, total }: { loaded: number; total: number }): void => {
    const percent = Math.floor((loaded / total) * 100);
    if (!this.#stream.isTTY || percent === this.#shown || performance.now() - this.#started < 300) return;
    this.#shown = percent;
    const done = Math.round((loaded / total) * BAR);
    this.#stream.write(`\r${this.#what} ${"█".repeat(done)}${"░".repeat(BAR - done)} ${percent} %`);
  };

  end(): void {
    if (this.#shown >= 0) this.#stream.write("\r\x1b[K");
  }
}
