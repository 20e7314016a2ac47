/**
 * A text as it grows, without anything of the page. Each passage is what somebody wrote and what the model went on with, in one
 * version or several: a version is a fork of the session where the passage begins, so that each can be taken up again at once.
 */

import type { GenerateOptions, Model, Session } from "rwkv-wasm";

/** What the page lets people choose. */
export type Settings = Required<
  Pick<
    GenerateOptions,
    "temperature" | "topP" | "topK" | "repetitionPenalty" | "presencePenalty" | "frequencyPenalty" | "maxTokens"
  >
>;

/** One way in which a passage goes on. */
export interface Version {
  readonly text: string;
  readonly tokens: number;
  /** From the first token to the last. */
  readonly seconds: number;
  readonly seed: bigint;
  readonly settings: Settings;
  /** "stop": the model ended the text; "length": as long as asked for; "stopped": by whoever sat there. */
  readonly finish: "stop" | "length" | "stopped";
}

export interface Passage {
  readonly prompt: string;
  readonly versions: readonly Version[];
  readonly chosen: number;
}

/** A text that can be taken up later: as `Story`, with one version of each passage, and the states at the end of the last and before it. */
export interface Saved {
  readonly before: number;
  readonly passages: readonly { prompt: string; version: Version }[];
  readonly start?: Uint8Array<ArrayBuffer>;
  readonly end: Uint8Array<ArrayBuffer>;
}

/** Told of each token: the text it completes, how many there are, and how many seconds since the first. */
export type Heard = (text: string, tokens: number, seconds: number) => void;

/** More versions of one passage than anybody compares; each holds a session open. */
const VERSIONS = 8;

interface Kept extends Version {
  readonly end: Session;
}

export class Story {
  readonly #model: Model;
  /** Tokens that the model took in before the first passage, if the text began with a state that was opened. */
  before = 0;
  #passages: Passage[] = [];
  /** Versions of the last passage; `#passages` shows the same. */
  #versions: Kept[] = [];
  /** Where the last passage begins; none at the very beginning, or when that is not known any more. */
  #start: Session | undefined;
  /** Where the text stands: the end of the chosen version, or of a state that was opened. */
  #end: Session | undefined;
  #again = false;

  constructor(model: Model) {
    this.#model = model;
  }

  /** Takes up a text. Throws `RwkvError` "state" if it is another model's. */
  static restore(model: Model, { before, passages, start, end }: Saved): Story {
    const story = new Story(model);
    story.#end = model.session(end);
    story.before = passages.length > 0 ? before : story.#end.position;
    const last = passages.at(-1);
    if (last) {
      story.#start = start && model.session(start);
      story.#again = start !== undefined || (passages.length === 1 && before === 0);
      story.#versions = [{ ...last.version, end: story.#end }];
      story.#passages = passages.map(({ prompt, version }) => ({ prompt, versions: [version], chosen: 0 }));
    }
    return story;
  }

  get passages(): readonly Passage[] {
    return this.#passages;
  }

  /** Whether the last passage can be written anew. */
  get again(): boolean {
    return this.#again;
  }

  /** How many tokens the model has taken in. */
  get position(): number {
    return this.#end?.position ?? 0;
  }

  get text(): string {
    return this.#passages.map(({ prompt, versions, chosen }) => prompt + versions[chosen]!.text).join("");
  }

  /** Adds a passage. Resolves to false, and leaves everything as it was, if nothing came: no words, or stopped before the first token. */
  async write(prompt: string, settings: Settings, seed: bigint | undefined, heard: Heard, signal: AbortSignal) {
    const version = await this.#generate(this.#end, prompt, settings, seed, heard, signal);
    if (!version) return false;
    // The other versions of the passage before, and where it began, are out of reach now.
    const past = [this.#start, ...this.#versions.map(({ end }) => end)];
    await Promise.all(past.map((session) => session !== this.#end && session?.close()));
    const last = this.#passages.pop();
    if (last) this.#passages.push({ ...last, versions: [last.versions[last.chosen]!], chosen: 0 });
    this.#start = this.#end;
    this.#versions = [version];
    this.#again = true;
    this.#passages.push({ prompt, versions: this.#versions, chosen: 0 });
    this.choose(0);
    return true;
  }

  /** Writes the last passage in another version. As `write`. */
  async another(settings: Settings, seed: bigint | undefined, heard: Heard, signal: AbortSignal): Promise<boolean> {
    const { prompt } = this.#passages.at(-1)!;
    const version = await this.#generate(this.#start, prompt, settings, seed, heard, signal);
    if (!version) return false;
    this.#versions = [...this.#versions, version];
    if (this.#versions.length > VERSIONS) await this.#versions.shift()!.end.close();
    this.choose(this.#versions.length - 1);
    return true;
  }

  /** Goes on from this version of the last passage. */
  choose(version: number): void {
    this.#end = this.#versions[version]!.end;
    this.#passages.push({ prompt: this.#passages.pop()!.prompt, versions: this.#versions, chosen: version });
  }

  /** The state at the end, for `model.session(state)`; none before the first passage. */
  async state(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#end?.save();
  }

  /** All of it, for `Story.restore`. */
  async save(): Promise<Saved | undefined> {
    const { before } = this;
    // As they are now: while the states are saved, another version may be chosen.
    const passages = this.#passages.map(({ prompt, versions, chosen }) => ({
      prompt,
      version: plain(versions[chosen]!),
    }));
    const [start, end] = await Promise.all([this.#start?.save(), this.#end?.save()]);
    return end && { before, passages, start, end };
  }

  /** Gives the sessions back. */
  async close(): Promise<void> {
    const sessions = new Set([this.#start, this.#end, ...this.#versions.map(({ end }) => end)]);
    await Promise.all(Array.from(sessions, (session) => session?.close()));
  }

  async #generate(
    from: Session | undefined,
    prompt: string,
    settings: Settings,
    seed: bigint | undefined,
    heard: Heard,
    signal: AbortSignal,
  ): Promise<Kept | undefined> {
    const end = from?.fork() ?? this.#model.session();
    try {
      const generation = end.generate(prompt, { ...settings, seed, signal });
      let text = "";
      let tokens = 0;
      let first = 0;
      let seconds = 0;
      let finish: Version["finish"] = "stopped";
      try {
        for await (const part of generation) {
          const now = performance.now();
          if (tokens++ === 0) first = now;
          seconds = (now - first) / 1000;
          text += part.text;
          heard(part.text, tokens, seconds);
        }
        finish = (await generation.result).finishReason === "length" ? "length" : "stop";
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      if (tokens > 0 || (prompt !== "" && finish === "stop"))
        return { text, tokens, seconds, seed: generation.seed, settings, finish, end };
    } catch (error) {
      await end.close();
      throw error;
    }
    await end.close();
    return undefined;
  }
}

const plain = ({ text, tokens, seconds, seed, settings, finish }: Version): Version => ({
  text,
  tokens,
  seconds,
  seed,
  settings,
  finish,
});
