/**
 * Chat templates in Jinja, as models of other makers carry them, through the package @huggingface/jinja, which is optional. What a
 * template makes of a conversation is taken apart by rendering it with and without the assistant's next turn.
 */

import { shown } from "../checks.ts";
import { RwkvError } from "../errors.ts";
import type { JinjaTemplate } from "../types.ts";
import type { ChatTemplate, Message, RenderOptions, Tool } from "./chat.ts";

/** Stands for an answer when it is asked what follows one. */
const MARK = "\u0001answer\u0001";
/** No template is longer. */
const LONGEST = 1 << 20;
/** Characters that are read, over and over, to find a mistake's place. */
const MOST_SEARCHED = 1 << 25;

const toolOf = ({ name, description, parameters }: Tool) => ({
  type: "function",
  function: { name, description: description ?? "", parameters: parameters ?? { type: "object" } },
});

const messageOf = ({ role, content, thinking, toolCalls, name }: Message) => ({
  role,
  content,
  ...(thinking !== undefined && { reasoning_content: thinking }),
  ...(toolCalls && { tool_calls: toolCalls.map((call) => ({ type: "function", function: call })) }),
  ...(name !== undefined && { name }),
});

/** Reads a template. Throws `RwkvError` "input" that says what is wrong with it, here and when a conversation does not suit it. */
export function jinjaTemplate(source: string, Template: JinjaTemplate): ChatTemplate {
  if (source.length > LONGEST) throw new RwkvError("input", `The chat template has more than ${LONGEST} characters.`);
  let template: InstanceType<JinjaTemplate>;
  try {
    template = new Template(source);
  } catch (cause) {
    // The package stumbles where it looks for an end that is not there.
    const why = cause instanceof TypeError ? "what begins there has no end" : (cause as Error).message;
    const message = `The chat template cannot be read${placeOf(source, Template, cause as Error)}: ${why}`;
    throw new RwkvError("input", message, { cause });
  }

  const text = (messages: readonly Message[], { tools, think }: RenderOptions, reply: boolean): string => {
    try {
      return template.render({
        messages: messages.map(messageOf),
        add_generation_prompt: reply,
        // The start token is the tokenizer's affair.
        bos_token: "",
        eos_token: "",
        ...(tools.length > 0 && { tools: tools.map(toolOf) }),
        ...(think !== "none" && { enable_thinking: think !== "skip" }),
      });
    } catch (cause) {
      const message = `The chat template does not take this conversation: ${(cause as Error).message}`;
      throw new RwkvError("input", message, { cause });
    }
  };

  return {
    name: "jinja",
    render(messages, options, reply) {
      const body = text(messages, options, false);
      if (!reply) return { body, opening: "" };
      const whole = text(messages, options, true);
      return whole.startsWith(body) ? { body, opening: whole.slice(body.length) } : { body: whole, opening: "" };
    },
    stops() {
      const messages: Message[] = [
        { role: "user", content: "?" },
        { role: "assistant", content: MARK },
      ];
      const ending = text(messages, { tools: [], think: "none" }, false).split(MARK)[1] ?? "";
      const stop = ending.trimEnd() || ending;
      return stop === "" ? [] : [stop];
    },
  };
}

/**
 * Where a template is wrong, which the package does not say: behind the longest beginning of it, up to the end of a tag, that does not
 * fail in the same way. Empty for a template in which that would take long.
 */
function placeOf(source: string, Template: JinjaTemplate, { message }: Error): string {
  const tags = [...source.matchAll(/\{([{%#])[\s\S]*?[}%#]\}/g)];
  if (tags.length * source.length > MOST_SEARCHED) return "";
  const fails = (end: number): boolean => {
    try {
      new Template(source.slice(0, end));
      return false;
    } catch (error) {
      return (error as Error).message === message;
    }
  };
  const ends = [0, ...tags.map(({ 0: tag, index }) => index + tag.length)];
  const end = ends.findLast((end) => !fails(end)) ?? 0;
  const at = end + source.slice(end).search(/\{[{%#]/);
  if (at < end) return "";
  const tag = tags.find(({ index }) => index === at)?.[0] ?? source.slice(at);
  return ` at line ${source.slice(0, at).split("\n").length}, ${shown(tag.replace(/\s+/g, " "))}`;
}
