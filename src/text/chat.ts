/**
 * Conversations as text: what a message is, and the template that RWKV's World and G1 models were trained with, in its plain form, with
 * a thought before the answer, and with tools. A turn is one paragraph after its role; an empty line ends it.
 */

import { shown } from "../checks.ts";
import { RwkvError } from "../errors.ts";

export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  /** Of an assistant: what it thought before it answered. */
  readonly thinking?: string;
  /** Of an assistant: what it wants to have called. Each call is answered with a message of the role "tool". */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool: its name. */
  readonly name?: string;
}

export interface Tool {
  readonly name: string;
  readonly description?: string;
  /** A JSON schema of the arguments. Default: any object. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/**
 * Whether the model thinks before it answers, as models of the G1 series can: "none" says nothing about it, "skip" gives it an
 * empty thought, the others ask for a thought of some length.
 */
export type Think = "none" | "skip" | "short" | "normal" | "long";
export const THINK: readonly Think[] = ["none", "skip", "short", "normal", "long"];

export interface RenderOptions {
  readonly tools: readonly Tool[];
  readonly think: Think;
}

/** A text up to where the assistant writes on. */
export interface Rendered {
  /** All turns so far. */
  readonly body: string;
  /** How the assistant's turn begins; empty if none was asked for. */
  readonly opening: string;
}

export interface ChatTemplate {
  readonly name: string;
  /** The text of a conversation. `reply`: also the beginning of the assistant's next turn. */
  render(messages: readonly Message[], options: RenderOptions, reply: boolean): Rendered;
  /** What ends the assistant's turn. */
  stops(think: Think): readonly string[];
}

/** Before and after a tool call, and a thought, in a reply. */
export const TAGS = {
  thinking: ["<think>", "</think>"],
  tool: ["<tool_call>", "</tool_call>"],
} as const;

const ROLES = { system: "System", user: "User", assistant: "Assistant", tool: "User" } as const;
const END = "\n\n";
/** How much the model is asked to think, behind the user's words. */
const ASKED: Readonly<Record<Think, string>> = {
  none: "",
  skip: "",
  short: " think a bit",
  normal: " think",
  long: " think a lot",
};

/** Empty lines separate turns: within one there are none. */
const paragraph = (text: string): string =>
  text
    .replace(/\r\n?/g, "\n")
    .trim()
    .replace(/\n{2,}/g, "\n");

const described = ({ name, description, parameters }: Tool): string =>
  JSON.stringify({ name, description, parameters: parameters ?? { type: "object" } });

/** What the model is told of its tools. */
function instructions(tools: readonly Tool[]): string {
  const [before, after] = TAGS.tool;
  return [
    "You can call these tools, described in JSON:",
    ...tools.map(described),
    `To call one, write ${before}{"name": its name, "arguments": {...}}${after} and wait for the answer.`,
  ].join("\n");
}

/** A call as a reply has it. */
export const callText = ({ name, arguments: given }: ToolCall): string =>
  `${TAGS.tool[0]}${JSON.stringify({ name, arguments: given })}${TAGS.tool[1]}`;

function words({ role, content, thinking, toolCalls = [] }: Message): string {
  if (role === "tool") return `<tool_response>${paragraph(content)}</tool_response>`;
  if (role !== "assistant") return paragraph(content);
  const thought = thinking === undefined ? "" : `<think>${paragraph(thinking)}</think>`;
  return [thought, paragraph(content), ...toolCalls.map(callText)].filter(Boolean).join("\n");
}

export const worldTemplate: ChatTemplate = {
  name: "rwkv-world",

  render(messages, { tools, think }, reply) {
    const turns = messages.map((message) => ({ role: message.role, text: words(message) }));
    if (tools.length > 0) {
      const first = turns[0]?.role === "system" ? turns.shift()! : { text: "" };
      turns.unshift({ role: "system", text: [first.text, instructions(tools)].filter(Boolean).join("\n") });
    }
    const last = turns.at(-1);
    if (reply && last?.role === "user") last.text += ASKED[think];
    const body = turns.map(({ role, text }) => `${ROLES[role]}: ${text}${END}`).join("");
    if (!reply) return { body, opening: "" };
    const begun = think === "none" ? "" : think === "skip" ? " <think>\n</think" : " <think";
    return { body, opening: `Assistant:${begun}` };
  },

  // A thought may have empty lines of its own; then only the next turn's role is certain to be an end.
  stops: (think) =>
    think === "none" || think === "skip" ? [END] : [`${END}User:`, `${END}System:`, `${END}Assistant:`],
};

/** Checks messages from outside. Throws `RwkvError` "input" that names the one at fault. */
export function checkMessages(messages: unknown): readonly Message[] {
  const bad = (what: string) => new RwkvError("input", what);
  if (!Array.isArray(messages)) throw bad(`messages must be an array of { role, content }, not ${shown(messages)}.`);
  for (const [i, message] of messages.entries()) {
    if (typeof message !== "object" || message === null) {
      throw bad(`Message ${i} must be { role, content }, not ${shown(message)}.`);
    }
    const { role, content, thinking, toolCalls, name } = message as Record<string, unknown>;
    if (typeof role !== "string" || !Object.hasOwn(ROLES, role)) {
      throw bad(`Message ${i} has the role ${shown(role)}; roles are ${Object.keys(ROLES).join(", ")}.`);
    }
    if (typeof content !== "string") throw bad(`Message ${i} must have a string as content, not ${typeof content}.`);
    if (thinking !== undefined && typeof thinking !== "string") throw bad(`Message ${i}: thinking must be a string.`);
    if (name !== undefined && typeof name !== "string") throw bad(`Message ${i}: name must be a string.`);
    if (role === "system" && i > 0) throw bad(`Message ${i} is a system message; only the first one can be.`);
    if (toolCalls !== undefined && (!Array.isArray(toolCalls) || !toolCalls.every(isCall))) {
      throw bad(`Message ${i}: toolCalls must be an array of { name, arguments }.`);
    }
  }
  return messages as readonly Message[];
}

/** Checks tools from outside. Throws `RwkvError` "input" that names the one at fault. */
export function checkTools(tools: unknown): readonly Tool[] {
  if (!Array.isArray(tools))
    throw new RwkvError("input", "tools must be an array of { name, description, parameters }.");
  const names = new Set<string>();
  for (const [i, tool] of tools.entries()) {
    const { name, description, parameters } = (tool ?? {}) as Record<string, unknown>;
    if (typeof name !== "string" || name === "") throw new RwkvError("input", `Tool ${i} must have a name.`);
    if (names.has(name)) throw new RwkvError("input", `Two tools are called "${name}".`);
    names.add(name);
    if (description !== undefined && typeof description !== "string") {
      throw new RwkvError("input", `Tool "${name}": the description must be a string.`);
    }
    if (
      parameters !== undefined &&
      (typeof parameters !== "object" || parameters === null || Array.isArray(parameters))
    ) {
      throw new RwkvError("input", `Tool "${name}": the parameters must be a JSON schema, an object.`);
    }
  }
  return tools as readonly Tool[];
}

/** Whether a value is a tool call. */
export function isCall(value: unknown): value is ToolCall {
  const call = value as Record<string, unknown> | null;
  const given = call && typeof call === "object" ? call.arguments : undefined;
  return typeof call?.name === "string" && typeof given === "object" && given !== null && !Array.isArray(given);
}
