/** The conversation of `rwkv chat`: what is typed is said to the model, or is a command that starts with a slash. */

import type { Chat, ChatOptions, Model, Reply } from "../index.ts";
import { readInput } from "./input.ts";
import { Interrupted, SIGINT } from "./interrupt.ts";
import type { Lines } from "./lines.ts";
import { replaceFile, targetOf } from "./output.ts";
import { contradiction, generateOptions, newSeed, OPTIONS, settingOf, valueText } from "./sampling.ts";
import { dim, hasColors, printable, speedText, write } from "./terminal.ts";

/** A saved conversation larger than this is another file. */
export const SAVED_BYTES = 2 ** 30;

/** What can be asked for, with what follows it. */
export const COMMANDS: Readonly<Record<string, readonly [values: string, about: string]>> = {
  help: ["", "this list"],
  params: ["[name [value]]", "how answers are drawn: all of it, or one to be set; default as a value takes it back"],
  system: ["[text]", "what the assistant was told before; with a text, the conversation starts over with that"],
  undo: ["", "takes back the last answer, and what it answered to"],
  retry: ["", "another answer to the same"],
  reset: ["", "the conversation starts over"],
  save: ["file", "writes the conversation into a file"],
  load: ["file", "goes on with a conversation from a file"],
  stats: ["", "what the last answer took"],
  exit: ["", "ends, as Ctrl-D does"],
};

/** What is known of an answer when it is over. */
interface Stats {
  tokens: number;
  /** From the question to the last word; 0 if none came. */
  ms: number;
  /** What came before the first word: tokens that were read, and milliseconds; undefined if none came. */
  read: number;
  waited: number | undefined;
  seed: bigint;
  how: string;
}

const HOW = {
  stop: "it came to its end",
  length: "max-tokens were reached",
  time: "max-time was over",
} as Readonly<Record<string, string>>;

export class Talk {
  readonly #model: Model;
  readonly #options: Pick<ChatOptions, "template" | "think">;
  readonly #settings: Map<string, unknown>;
  readonly #lines: Lines;
  readonly #isStories: boolean;
  #chat: Chat;
  #stats: Stats | undefined;
  /** Stops the answer that is being written; undefined at the prompt. */
  #stop: (() => void) | undefined;

  /** `stories`: the model is the one that comes with the package. */
  constructor(
    model: Model,
    chat: Chat,
    options: Pick<ChatOptions, "template" | "think">,
    settings: ReadonlyMap<string, unknown>,
    lines: Lines,
    stories: boolean,
  ) {
    this.#model = model;
    this.#chat = chat;
    this.#options = options;
    this.#settings = new Map(settings);
    this.#lines = lines;
    this.#isStories = stories;
  }

  /** Ctrl-C: ends the answer, or is the prompt's affair. */
  interrupt(): void {
    if (this.#stop) this.#stop();
    else this.#lines.interrupt();
  }

  /** Resolves when the conversation is over. Scripts are ended by the first thing that goes wrong; people are told. */
  async run(): Promise<void> {
    const { terminal } = this.#lines;
    if (terminal) await this.#greet();
    let leaving = false;
    for (;;) {
      const entry = await this.#lines.next();
      if (entry === undefined) break;
      if (typeof entry !== "string") {
        if (!terminal) throw new Interrupted(SIGINT);
        if (leaving && !entry.typed) break;
        leaving = !entry.typed;
        if (leaving) await this.#say("Ctrl-C once more ends, as Ctrl-D does.");
        continue;
      }
      leaving = false;
      if (entry === "/exit") break;
      try {
        await this.#take(entry);
      } catch (error) {
        if (!terminal) throw error;
        await this.#say(`rwkv: ${(error as Error).message}`);
      }
    }
    if (terminal) await write(process.stdout, "\n");
  }

  async #greet(): Promise<void> {
    const { name, version } = this.#model.info;
    await this.#say(`${name}, RWKV-${version}. /help says what there is; Ctrl-C stops an answer.`);
    if (this.#isStories)
      await this.#say("This model tells stories and has never seen a conversation: --model names another one.");
  }

  /** What is no answer: between the answers in a terminal, else beside them. */
  async #say(text: string): Promise<void> {
    const stream = this.#lines.terminal ? process.stdout : process.stderr;
    await write(stream, `${dim(stream, printable(text))}\n`);
  }

  async #take(entry: string): Promise<void> {
    const [, name, rest] = /^\/(\S*)\s*([\s\S]*)$/.exec(entry) ?? [];
    const text = rest?.trim() ?? "";
    if (name === undefined) {
      if (entry.trim() !== "") await this.#answer((options) => this.#chat.send(entry, options));
      return;
    }
    if (!Object.hasOwn(COMMANDS, name))
      throw new Error(
        `there is no command /${name}; /help lists them, and a space before the slash makes it a message`,
      );
    const [values] = COMMANDS[name]!;
    if (values === "" && text !== "") throw new Error(`/${name} takes nothing behind it`);
    if (values === "file" && text === "") throw new Error(`/${name} needs the name of a file`);
    switch (name) {
      case "help":
        return await this.#help();
      case "params":
        return await this.#params(text);
      case "system":
        return await this.#system(text);
      case "undo":
        await this.#chat.undo({ all: true });
        return await this.#say(`Taken back. ${this.#where()}`);
      case "retry":
        // Without an answer, as after one that was stopped before its first word, there is nothing to take back.
        if (this.#chat.messages.at(-1)?.role === "assistant") await this.#chat.undo();
        return await this.#answer((options) => this.#chat.reply(options));
      case "reset":
        await this.#chat.reset();
        return await this.#say("The conversation starts over.");
      case "save": {
        const bytes = await this.#chat.save();
        await replaceFile(await targetOf([], text), (write) => write(bytes));
        return await this.#say(`Saved in ${text}. ${this.#where()}`);
      }
      case "load": {
        const saved = await readInput(text, "the conversation", SAVED_BYTES);
        await this.#replace({ saved });
        return await this.#say(`Loaded from ${text}. ${this.#where()}`);
      }
      default:
        return await this.#tell();
    }
  }

  /** Another conversation in the place of this one. */
  async #replace(options: ChatOptions): Promise<void> {
    const chat = await this.#model.chat({ ...this.#options, ...options });
    await this.#chat.close();
    this.#chat = chat;
    this.#stats = undefined;
  }

  #where(): string {
    const { length } = this.#chat.messages;
    return `${length} message${length === 1 ? "" : "s"}, ${this.#chat.position} tokens.`;
  }

  async #help(): Promise<void> {
    const rows = Object.entries(COMMANDS).map(
      ([name, [values, about]]) => `${`/${name} ${values}`.padEnd(24)}${about}`,
    );
    rows.push('A line that ends in \\ goes on in the next one; between """ and """ there can be many lines.');
    await this.#say(rows.join("\n"));
  }

  async #params(text: string): Promise<void> {
    const [, name = "", value = ""] = /^(\S*?)(?:[\s=]+([\s\S]*))?$/.exec(text) ?? [];
    const settings = this.#settings;
    if (name === "") {
      const rows = Object.entries(OPTIONS).map(([one, { usual = "off" }]) => {
        const shown = settings.has(one) ? valueText(settings.get(one)) : `default: ${usual}`;
        return `${one.padEnd(24)}${shown}`;
      });
      return await this.#say(rows.join("\n"));
    }
    if (!Object.hasOwn(OPTIONS, name)) throw new Error(`there is no parameter ${name}; /params lists them`);
    if (value !== "") {
      const changed = new Map(settings);
      if (value === "default") changed.delete(name);
      else changed.set(name, await settingOf(name, [value]));
      const clash = contradiction(changed);
      if (clash) throw new Error(clash);
      settings.clear();
      for (const [key, set] of changed) settings.set(key, set);
    }
    const { about, usual = "off" } = OPTIONS[name]!;
    const now = settings.has(name) ? valueText(settings.get(name)) : `default: ${usual}`;
    await this.#say(value === "" ? `${name} (${now}): ${about}` : `${name} ${now}`);
  }

  async #system(text: string): Promise<void> {
    if (text !== "") {
      await this.#replace({ system: text });
      return await this.#say("The conversation starts over.");
    }
    const [first] = this.#chat.messages;
    await this.#say(first?.role === "system" ? first.content : "The assistant was told nothing.");
  }

  async #tell(): Promise<void> {
    if (!this.#stats) return await this.#say(`No answer yet. ${this.#where()}`);
    const { tokens, ms, read, waited, seed, how } = this.#stats;
    // What was computed ahead of its reader comes at once: only the time since the question says how quick that was.
    const speed = speedText(tokens, ms, tokens);
    const times =
      waited === undefined
        ? ""
        : ` from the question on, the first after ${Math.round(waited)} ms and ${read} tokens read`;
    await this.#say(`${speed}${times}; ${how}; seed ${seed}\n${this.#where()}`);
  }

  /** Writes an answer as it comes. */
  async #answer(ask: (options: ReturnType<typeof generateOptions>) => Reply): Promise<void> {
    const chat = this.#chat;
    const abort = new AbortController();
    let [pressed, parts] = [0, 0];
    // An answer that has begun is kept as far as it came; one that has not, or that hangs, is given up.
    this.#stop = () => {
      if (++pressed > 2) process.exit(128 + SIGINT);
      if (parts === 0 || pressed > 1) abort.abort(new Error("stopped"));
    };
    const seed = newSeed();
    const options = { seed, ...generateOptions(this.#settings), signal: abort.signal };
    const [began, start] = [performance.now(), chat.position];
    let [first, last, from] = [0, began, 0];
    const writer = new AnswerWriter(this.#lines.terminal);
    let [how, answered] = ["it was stopped", false];
    let generated: number | undefined;
    try {
      const reply = ask(options);
      for await (const { kind, text } of reply) {
        last = performance.now();
        if (parts++ === 0) [first, from] = [last, chat.position];
        await writer.write(kind, text);
        if (pressed > 0) break;
      }
      answered = true;
      const result = pressed > 0 ? undefined : await reply.result;
      how = result ? (HOW[result.finishReason] ?? result.finishReason) : how;
      generated = result?.tokens;
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      how = "it was given up";
    } finally {
      this.#stop = undefined;
      if (answered || parts > 0) await writer.end();
    }
    const read = parts > 0 ? from - start - 1 : 0;
    const tokens = generated ?? (parts > 0 ? Math.max(chat.position - from, 0) + 1 : 0);
    const waited = parts > 0 ? first - began : undefined;
    this.#stats = { tokens, ms: last - began, waited, read, seed: BigInt(options.seed), how };
    if (abort.signal.aborted) await this.#say("Stopped; /retry asks again.");
    else if (this.#lines.terminal && (how === HOW.length || how === HOW.time)) await this.#say(`(${how})`);
  }
}

/** An answer on standard output: thoughts are dim, or left out where nobody sees that. */
class AnswerWriter {
  readonly #terminal: boolean;
  #kind: string | undefined;
  #last = "\n";

  constructor(terminal: boolean) {
    this.#terminal = terminal;
  }

  async write(kind: string, text: string): Promise<void> {
    const { stdout } = process;
    if (!this.#terminal) {
      if (kind === "thinking") return;
      await write(stdout, text);
      this.#last = text;
      return;
    }
    const isNew = this.#kind !== undefined && this.#kind !== kind;
    this.#kind = kind;
    const shown = printable(text);
    await write(stdout, (isNew ? "\n\n" : "") + (kind !== "content" && hasColors(stdout) ? dim(stdout, shown) : shown));
    if (shown !== "") this.#last = shown;
  }

  async end(): Promise<void> {
    const { stdout } = process;
    if (!this.#terminal) return await write(stdout, "\n");
    await write(stdout, this.#last.endsWith("\n") ? "\n" : "\n\n");
  }
}
