/**
 * What a person types, or a script pipes, entry by entry: mostly a line. A line that ends in a backslash goes on in the next one, and
 * between two `"""` there can be any number of lines.
 */

import { createInterface, type Interface } from "node:readline";

/** Ctrl-C: at an empty prompt, or where something had been typed, which is then gone. */
export type Interruption = { typed: boolean };

const BLOCK = '"""';
const FIRST = "> ";
const NEXT = "... ";

export class Lines {
  /** Whether somebody sits there. */
  readonly terminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #reader: Interface;
  /** Lines that came before they were asked for. */
  readonly #early: string[] = [];
  #ended = false;
  #answer: ((line: string | Interruption | undefined) => void) | undefined;

  /** `words`: what the Tab key completes at the start of a line. */
  constructor(words: readonly string[]) {
    const { stdin, stdout } = process;
    const completer = (line: string): [string[], string] => {
      const fitting = line.startsWith("/") ? words.filter((word) => word.startsWith(line)) : [];
      return [fitting, line];
    };
    this.#reader = createInterface({
      input: stdin,
      ...(this.terminal && { output: stdout, completer }),
      terminal: this.terminal && process.env.TERM !== "dumb",
      historySize: 1000,
      removeHistoryDuplicates: true,
    });
    this.#reader.on("line", (line) => {
      if (this.#answer) this.#give(line);
      else {
        this.#early.push(line);
        this.#reader.pause();
      }
    });
    this.#reader.on("close", () => {
      this.#ended = true;
      this.#give(undefined);
    });
    this.#reader.on("SIGINT", () => this.interrupt());
    this.rest();
  }

  /** The next entry; undefined when there are no more. What is not complete when the input ends counts as it is. */
  async next(): Promise<string | Interruption | undefined> {
    const lines: string[] = [];
    let inBlock = false;
    try {
      for (;;) {
        const line = await this.#line(inBlock || lines.length > 0 ? NEXT : FIRST);
        if (line === undefined) return inBlock || lines.length > 0 ? lines.join("\n") : undefined;
        if (typeof line !== "string") return { typed: line.typed || inBlock || lines.length > 0 };
        if (line.includes("\ufffd")) throw new Error("what was typed is not UTF-8 text, or holds U+FFFD");
        const opens: boolean = !inBlock && lines.length === 0 && line.startsWith(BLOCK);
        const text = opens ? line.slice(BLOCK.length) : line;
        const closes = (inBlock || opens) && text.trimEnd().endsWith(BLOCK);
        inBlock ||= opens;
        const goesOn = !inBlock && text.endsWith("\\");
        const kept = closes ? text.trimEnd().slice(0, -BLOCK.length) : goesOn ? text.slice(0, -1) : text;
        // The lines of the quotes themselves are none of the text if there is nothing else in them.
        if (kept !== "" || (!closes && !opens)) lines.push(kept);
        if (closes || (!inBlock && !goesOn)) return lines.join("\n");
      }
    } finally {
      this.rest();
    }
  }

  /** Ctrl-C, which a terminal in this state makes no signal of; or the signal, from elsewhere. */
  interrupt(): void {
    const typed = this.#reader.line !== undefined && this.#reader.line !== "";
    if (this.terminal) {
      process.stdout.write("^C\n");
      // What is drawn anew without what was typed has no prompt: the next entry brings its own.
      this.#reader.setPrompt("");
      this.#reader.write(null, { ctrl: true, name: "e" });
      this.#reader.write(null, { ctrl: true, name: "u" });
    }
    this.#give({ typed });
  }

  /** Until the next entry is asked for, the terminal is as it was: Ctrl-C is a signal. */
  rest(): void {
    if (this.#ended) return;
    this.#reader.pause();
    if (this.terminal) process.stdin.setRawMode(false);
  }

  close(): void {
    this.#reader.close();
  }

  #give(line: string | Interruption | undefined): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(line);
  }

  #line(prompt: string): Promise<string | Interruption | undefined> {
    if (this.#early.length > 0) return Promise.resolve(this.#early.shift());
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#answer = resolve;
      if (!this.terminal) {
        this.#reader.resume();
        return;
      }
      process.stdin.setRawMode(true);
      this.#reader.setPrompt(prompt);
      this.#reader.prompt();
    });
  }
}
