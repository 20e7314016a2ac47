/**
 * A conversation with a model. What was said so far is a state, so a new turn costs its own tokens only, however long the conversation is.
 * docs/chat.md is the user's side.
 */

import { hex8, xxhash32 } from "../bytes/hash.ts";
import { isRecord } from "../bytes/json.ts";
import { booleanOption, checkOptions, type Names, shown } from "../checks.ts";
import type { Platform } from "../engine/platform.ts";
import { RwkvError } from "../errors.ts";
import { GENERATE_NAMES, type GenerateOptions, type Generation, type GenerationResult } from "../generate.ts";
import {
  type ChatTemplate,
  checkMessages,
  checkTools,
  type Message,
  type RenderOptions,
  TAGS,
  THINK,
  type Think,
  type Tool,
  worldTemplate,
} from "../text/chat.ts";
import { ReplyParser, type ReplyPart } from "../text/reply.ts";
import type { JinjaTemplate } from "../types.ts";
import type { Session, Shared } from "./session.ts";

export interface ChatOptions {
  /** What the assistant is told before the conversation. */
  system?: string;
  /** What the assistant can have called. */
  tools?: readonly Tool[];
  /** Whether it thinks before it answers: "none", "skip", "short", "normal" or "long". Default "none". */
  think?: Think;
  /** Whether its thoughts stay in the state. Default: they do; without them, the answer is read once more, which costs its tokens. */
  keepThinking?: boolean;
  /**
   * "rwkv-world", or a template in Jinja, with the class `Template` of @huggingface/jinja where packages are not found by their names.
   * Default: the one in the weights file, else "rwkv-world".
   */
  template?: string | { source: string; Template: JinjaTemplate };
  /** What was said before. */
  messages?: readonly Message[];
  /** What `chat.save()` gave: the conversation goes on there. */
  saved?: Uint8Array;
  /** How answers are drawn, unless a turn says otherwise. */
  generate?: ReplyOptions;
}

export interface ReplyOptions extends Omit<GenerateOptions, "echo"> {
  /**
   * "auto": the model calls a tool if it likes; "none"; "required", or a tool's name: the answer is a call, by grammar, and cannot be held
   * to anything else. Default "auto".
   */
  toolChoice?: "auto" | "none" | "required" | { name: string };
}

const CHAT_NAMES: Names<ChatOptions> = {
  system: 1,
  tools: 1,
  think: 1,
  keepThinking: 1,
  template: 1,
  messages: 1,
  saved: 1,
  generate: 1,
};
const { echo: _, ...OTHERS } = GENERATE_NAMES;
const REPLY_NAMES: Names<ReplyOptions> = { ...OTHERS, toolChoice: 1 };
/** What a call that the model has to make cannot be held to besides. */
const RIVALS = ["schema", "regex", "grammar", "stop"] as const satisfies (keyof ReplyOptions)[];

/** What a chat needs of its model. */
export interface ChatModel {
  session(saved?: Uint8Array): Session;
}

/** Where a chat can stand. */
interface Place {
  readonly session: Session;
  readonly messages: readonly Message[];
  readonly taken: number;
  readonly open: boolean;
}

/** "RWKVCHA1" */
const MAGIC = Uint8Array.of(0x52, 0x57, 0x4b, 0x56, 0x43, 0x48, 0x41, 0x31);
/** Bytes; more than anybody says. */
const MOST_HEADER = 1 << 22;
/** Stands for an answer when it is asked what follows one. */
const MARK = "\u0002answer\u0002";

/** An answer on its way: iterate it once for its parts, or wait for the message. */
export class Reply implements AsyncIterable<ReplyPart> {
  readonly #parts: AsyncGenerator<ReplyPart, void, undefined>;
  readonly #outcome: Promise<{ message: Message; result: GenerationResult }>;
  #read = false;

  /** @internal */
  constructor(
    parts: AsyncGenerator<ReplyPart, void, undefined>,
    outcome: Promise<{ message: Message; result: GenerationResult }>,
  ) {
    this.#parts = parts;
    this.#outcome = outcome;
    outcome.catch(() => {}); // whoever reads the parts hears of it
  }

  [Symbol.asyncIterator](): AsyncGenerator<ReplyPart, void, undefined> {
    if (this.#read) throw new RwkvError("input", "A reply can be read only once.");
    this.#read = true;
    return this.#parts;
  }

  /** The whole answer, which is then part of the conversation. */
  get message(): Promise<Message> {
    return this.#all().then(({ message }) => message);
  }

  /** How it ended, and what it took. */
  get result(): Promise<GenerationResult> {
    return this.#all().then(({ result }) => result);
  }

  /** The answer's text, without thoughts and calls. */
  async text(): Promise<string> {
    return (await this.message).content;
  }

  async #all() {
    if (!this.#read) for await (const _ of this);
    return await this.#outcome;
  }
}

export class Chat {
  readonly #model: ChatModel;
  readonly #template: ChatTemplate;
  readonly #render: RenderOptions;
  readonly #keepThinking: boolean;
  readonly #defaults: ReplyOptions;
  #messages: readonly Message[];
  #session: Session;
  /** How many messages the session has taken in, and whether the last one was an answer whose end it has not. */
  #taken = 0;
  #open = false;
  /** Where the session stood before the last answer, and with which messages. */
  #before: Place | undefined;
  #busy = false;
  #closed = false;

  /** @internal Chats come from `model.chat()`. */
  constructor(model: ChatModel, template: ChatTemplate, options: ChatOptions) {
    const { system, messages = [], tools = [], think = "none", keepThinking = true, generate = {}, saved } = options;
    if (saved !== undefined && (system !== undefined || messages.length > 0)) {
      throw new RwkvError("input", "A saved chat has its messages: system and messages cannot be given with saved.");
    }
    if (system !== undefined && typeof system !== "string") {
      throw new RwkvError("input", `system must be a string, not ${shown(system)}.`);
    }
    if (!THINK.includes(think))
      throw new RwkvError("input", `think is one of ${THINK.join(", ")}, not ${shown(think)}.`);
    this.#model = model;
    this.#template = template;
    this.#render = { tools: checkTools(tools), think };
    this.#keepThinking = booleanOption("keepThinking", keepThinking);
    checkOptions("a chat's generate", generate, REPLY_NAMES);
    this.#defaults = generate;
    const told = system === undefined ? [] : [{ role: "system", content: system } as const];
    this.#messages = checkMessages(Array.isArray(messages) ? [...told, ...messages] : messages);
    if (saved === undefined) {
      this.#session = model.session();
      return;
    }
    const { header, state } = unpack(saved);
    if (header.template !== this.#template.name) {
      throw new RwkvError(
        "state",
        `The chat was saved with the template ${header.template}, not ${this.#template.name}.`,
      );
    }
    this.#messages = header.messages;
    this.#taken = header.taken;
    this.#open = header.open;
    this.#session = model.session(state);
  }

  /** All that was said. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** Tokens that the state has taken in. */
  get position(): number {
    return this.#session.position;
  }

  /** Adds messages without asking for an answer: a history, or the results of tools. Throws `RwkvError` "input", "busy", "closed". */
  add(...messages: readonly Message[]): void {
    this.#check();
    checkMessages(messages);
    const all = [...this.#messages, ...messages.map((message) => ({ ...message }))];
    checkMessages(all);
    this.#messages = all;
  }

  /** Says something, a text of the user or messages, and asks for the answer. */
  send(said: string | Message | readonly Message[], options?: ReplyOptions): Reply {
    this.#check();
    if (typeof said !== "string" && (typeof said !== "object" || said === null)) {
      throw new RwkvError("input", `What is sent is a text, a message or an array of messages, not ${shown(said)}.`);
    }
    const messages = typeof said === "string" ? [{ role: "user", content: said } as const] : [said].flat();
    const before = this.#messages;
    this.add(...(messages as readonly Message[]));
    try {
      return this.reply(options);
    } catch (error) {
      this.#messages = before;
      throw error;
    }
  }

  /**
   * Asks for the assistant's next message, which begins when it is read. Left early, what was read is the message; aborted or failed,
   * the conversation stands where it was before, and can be asked again.
   */
  reply(options: ReplyOptions = {}): Reply {
    this.#check();
    if (this.#messages.length === 0) throw new RwkvError("input", "Nothing was said yet that could be answered.");
    checkOptions("a reply", options, REPLY_NAMES);
    const { toolChoice = "auto", ...generate } = { ...this.#defaults, ...options };
    const forced = this.#forced(toolChoice);
    const rival = forced && RIVALS.find((name) => generate[name] !== undefined);
    if (rival) {
      throw new RwkvError(
        "input",
        `toolChoice and ${rival} exclude each other: the answer is a call, as its tool's schema has it.`,
      );
    }
    let settle!: (outcome: { message: Message; result: GenerationResult }) => void;
    let fail!: (error: unknown) => void;
    const outcome = new Promise<{ message: Message; result: GenerationResult }>((resolve, reject) => {
      settle = resolve;
      fail = reject;
    });
    return new Reply(this.#answer(this.#messages, generate, forced, settle, fail), outcome);
  }

  /** Takes the last answer back, with what it answered to if `all`. Throws `RwkvError` "input" where there is none to take back. */
  async undo({ all = false }: { all?: boolean } = {}): Promise<void> {
    this.#check();
    const before = this.#before;
    if (!before) throw new RwkvError("input", "There is no answer to take back, or it was taken back already.");
    await this.#stand(before);
    this.#messages = before.messages;
    if (all) {
      const last = this.#messages.findLastIndex(({ role }) => role === "assistant");
      const kept = this.#messages.slice(0, Math.max(last + 1, this.#messages[0]?.role === "system" ? 1 : 0));
      this.#messages = kept;
      if (this.#taken > kept.length) await this.#restart();
    }
  }

  /** Forgets all but the system message. */
  async reset(): Promise<void> {
    this.#check();
    this.#messages = this.#messages.filter(({ role }, i) => role === "system" && i === 0);
    await this.#restart();
  }

  /** The conversation as bytes, for `model.chat({ saved })`, now or another day. */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    this.#check();
    const state = await this.#session.save();
    return pack(
      { template: this.#template.name, messages: this.#messages, taken: this.#taken, open: this.#open },
      state,
    );
  }

  /** Gives the state's memory back. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([this.#session.close(), this.#before?.session.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #check(): void {
    if (this.#closed) throw new RwkvError("closed", "The chat was closed.");
    if (this.#busy) throw new RwkvError("busy", "The assistant is answering: read its reply first, or abort it.");
  }

  async #restart(): Promise<void> {
    const old = [this.#session, this.#before?.session];
    this.#session = this.#model.session();
    this.#before = undefined;
    this.#taken = 0;
    this.#open = false;
    for (const session of old) await session?.close();
  }

  /** The schema of the calls that the answer has to be one of. */
  #forced(choice: NonNullable<ReplyOptions["toolChoice"]>): object | undefined {
    if (choice === "auto" || choice === "none") return undefined;
    const { tools } = this.#render;
    const wanted = choice === "required" ? tools : tools.filter(({ name }) => name === choice?.name);
    if (wanted.length === 0) {
      const names = tools.map(({ name }) => name).join(", ") || "none";
      throw new RwkvError("input", `toolChoice asks for a tool that there is not; the chat has ${names}.`);
    }
    return {
      anyOf: wanted.map(({ name, parameters }) => ({
        type: "object",
        properties: { name: { const: name }, arguments: parameters ?? { type: "object" } },
        required: ["name", "arguments"],
        additionalProperties: false,
      })),
    };
  }

  /** An answer is begun, to what was said when it was asked for. */
  #begin(messages: readonly Message[]): Place {
    this.#check();
    if (this.#messages !== messages) {
      throw new RwkvError("input", "The conversation went on before this reply was read; ask for another one.");
    }
    const start = this.#place(this.#session.fork());
    this.#busy = true;
    return start;
  }

  async *#answer(
    asked: readonly Message[],
    generate: GenerateOptions,
    forced: object | undefined,
    settle: (outcome: { message: Message; result: GenerationResult }) => void,
    fail: (error: unknown) => void,
  ): AsyncGenerator<ReplyPart, void, undefined> {
    const parser = new ReplyParser();
    let start: Place;
    try {
      start = this.#begin(asked);
    } catch (error) {
      fail(error);
      throw error;
    }
    let generation: Generation | undefined;
    let [ended, failed] = [false, false];
    try {
      const { body, opening } = this.#template.render(this.#messages, this.#render, true);
      await this.#read(body, generate.signal);
      const thought = opening.lastIndexOf("<think");
      const call = forced ? TAGS.tool[0] : "";
      const before = this.#place(this.#session.fork());
      await this.#before?.session.close();
      this.#before = before;
      generation = this.#session.generate(forced ? `${opening} ${call}` : opening, {
        ...generate,
        ...(forced ? { schema: forced } : { stop: this.#stops(generate.stop) }),
      });
      parser.push((thought < 0 ? "" : opening.slice(thought)) + call);
      for await (const { text } of generation) yield* parser.push(text);
      // What was cut short is no call.
      if (forced && (await generation.result).finishReason === "stop") {
        await this.#session.feed(TAGS.tool[1], { signal: generate.signal });
        yield* parser.push(TAGS.tool[1]);
      }
      ended = true;
    } catch (error) {
      failed = true;
      fail(error);
      // Behind what was said, if all of that was read; else where it was before.
      await this.#stand(generation ? this.#before! : start);
      throw error;
    } finally {
      if (!failed && generation) await this.#keep(parser, generation, ended, settle, fail);
      if (this.#session !== start.session) await start.session.close();
      this.#busy = false;
    }
  }

  #place(session: Session): Place {
    return { session, messages: this.#messages, taken: this.#taken, open: this.#open };
  }

  /** Goes on from a place, which is then used up. */
  async #stand({ session, taken, open }: Place): Promise<void> {
    await this.#session.close();
    if (this.#before?.session === session) this.#before = undefined;
    this.#session = session;
    this.#taken = taken;
    this.#open = open;
  }

  /** Brings the session to the end of the turns so far. */
  async #read(body: string, signal?: AbortSignal): Promise<void> {
    const known = this.#messages.slice(0, this.#taken);
    const before = this.#taken === 0 ? "" : this.#template.render(known, this.#render, false).body;
    // A template that changes what was said before makes all of it new.
    const goesOn = body.startsWith(before);
    if (!goesOn) await this.#restart();
    const ending = goesOn && this.#open ? this.#ending(known) : "";
    await this.#session.feed(goesOn ? ending + body.slice(before.length) : body, { signal });
    this.#taken = this.#messages.length;
    this.#open = false;
  }

  /** What the template writes behind an answer, which ended where the answer did. */
  #ending(known: readonly Message[]): string {
    const marked = [...known.slice(0, -1), { role: "assistant", content: MARK } as const];
    return this.#template.render(marked, this.#render, false).body.split(MARK)[1] ?? "";
  }

  async #keep(
    parser: ReplyParser,
    generation: Generation,
    ended: boolean,
    settle: (outcome: { message: Message; result: GenerationResult }) => void,
    fail: (error: unknown) => void,
  ): Promise<void> {
    // The session goes back to the end of what was shown; until then its state is not to be had.
    await generation.over;
    const { message } = parser.end();
    this.#messages = [...this.#messages, message];
    const before = this.#before!;
    if (message.thinking !== undefined && !this.#keepThinking) {
      // The answer alone is read when the conversation goes on.
      const without: Message = { ...message };
      delete (without as { thinking?: string }).thinking;
      this.#messages = [...before.messages, without];
      await this.#stand({ ...before, session: before.session.fork() });
    } else {
      this.#taken = this.#messages.length;
      this.#open = true;
    }
    if (ended) settle({ message, result: await generation.result });
    else fail(new RwkvError("closed", "The reply was left before its end."));
  }

  #stops(own: ReplyOptions["stop"]): string[] {
    const stops = this.#template.stops(this.#render.think);
    return [...stops, ...(own === undefined ? [] : [own].flat())];
  }
}

/** @internal Finds the template and opens the chat. */
export async function openChat(
  model: ChatModel,
  { platform, template: own }: Pick<Shared, "platform" | "template">,
  options: ChatOptions,
): Promise<Chat> {
  checkOptions("a chat", options, CHAT_NAMES);
  const given = options.template ?? own ?? worldTemplate.name;
  return new Chat(model, await templateOf(given, platform), options);
}

async function templateOf(given: NonNullable<ChatOptions["template"]>, platform: Platform): Promise<ChatTemplate> {
  const source = typeof given === "string" ? given : given?.source;
  if (typeof source !== "string") {
    throw new RwkvError(
      "input",
      `template must be "rwkv-world", a template in Jinja, or { source, Template }, not ${shown(given)}.`,
    );
  }
  if (typeof given !== "string" && typeof given.Template !== "function") {
    throw new RwkvError(
      "input",
      `template.Template must be the class Template of @huggingface/jinja, not ${shown(given.Template)}.`,
    );
  }
  // What llama.cpp writes into GGUF files for its own code, or the same thing in Jinja, which lacks thoughts and tools.
  if (source === worldTemplate.name || /'User: ' \+ message/.test(source)) return worldTemplate;
  if (!/\{[{%]/.test(source)) {
    throw new RwkvError(
      "input",
      `There is no chat template ${shown(source)}; "rwkv-world" is built in, others are in Jinja.`,
    );
  }
  const { jinjaTemplate } = await import("../text/jinja.ts");
  if (typeof given !== "string") return jinjaTemplate(source, given.Template);
  if (!platform.jinja) {
    throw new RwkvError(
      "unsupported",
      "A chat template in Jinja needs the class Template of @huggingface/jinja here: template: { source, Template }.",
    );
  }
  return jinjaTemplate(source, await platform.jinja());
}

interface Header {
  template: string;
  messages: readonly Message[];
  taken: number;
  open: boolean;
}

/** Magic, length of the header, checksum of the header, the header in JSON, the session's state. */
function pack(header: Header, state: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = MAGIC.length + 8;
  const bytes = new Uint8Array(start + text.length + state.length);
  bytes.set(MAGIC);
  const view = new DataView(bytes.buffer);
  view.setUint32(MAGIC.length, text.length, true);
  view.setUint32(MAGIC.length + 4, xxhash32(text), true);
  bytes.set(text, start);
  bytes.set(state, start + text.length);
  return bytes;
}

function unpack(bytes: Uint8Array): { header: Header; state: Uint8Array } {
  const bad = (what: string) => new RwkvError("state", `This is not a usable saved chat: ${what}.`);
  if (!(bytes instanceof Uint8Array)) throw bad("it is not a Uint8Array");
  const start = MAGIC.length + 8;
  if (bytes.length < start || MAGIC.some((b, i) => bytes[i] !== b)) {
    throw bad("it does not begin as one that `chat.save()` made");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(MAGIC.length, true);
  if (length > MOST_HEADER || length > bytes.length - start) throw bad("it was cut off");
  const text = bytes.subarray(start, start + length);
  const sum = xxhash32(text);
  if (sum !== view.getUint32(MAGIC.length + 4, true)) throw bad(`its checksum is wrong (${hex8(sum)})`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    throw bad("its header is not JSON");
  }
  if (!isRecord(header) || typeof header.template !== "string" || typeof header.open !== "boolean") {
    throw bad("its header lacks fields");
  }
  const messages = checkMessages(header.messages);
  const { taken, template, open } = header;
  if (!Number.isInteger(taken) || (taken as number) < 0 || (taken as number) > messages.length) {
    throw bad("its header contradicts itself");
  }
  return { header: { template, messages, taken: taken as number, open }, state: bytes.subarray(start + length) };
}
