/**
 * Chat templates in Jinja, as models of other makers carry them, through the package @huggingface/jinja, which is optional. What a
 * template makes of a conversation is taken apart by rendering it with and without the assistant's next turn.
 */

import { RwkvError } from "../errors.ts";
import type { JinjaTemplate } from "../types.ts";
import type { ChatTemplate, Message, RenderOptions, Tool } from "./chat.ts";

/** Stands for an answer when it is asked what follows one. */
const MARK = "\u0001answer\u0001";
/** No template is longer. */
const LONGEST = 1 << 20;

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
  const attempt = <T>(what: string, make: () => T): T => {
    try {
      return make();
    } catch (cause) {
      throw new RwkvError("input", `The chat template ${what}: ${(cause as Error).message}`, { cause });
    }
  };
  const template = attempt("cannot be read", () => new Template(source));

  const text = (messages: readonly Message[], { tools, think }: RenderOptions, reply: boolean): string =>
    attempt("does not take this conversation", () =>
      template.render({
        messages: messages.map(messageOf),
        add_generation_prompt: reply,
        // The start token is the tokenizer's affair.
        bos_token: "",
        eos_token: "",
        ...(tools.length > 0 && { tools: tools.map(toolOf) }),
        ...(think !== "none" && { enable_thinking: think !== "skip" }),
      }),
    );

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
