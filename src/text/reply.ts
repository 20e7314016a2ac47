/** What an assistant writes, taken apart while it comes: thoughts, answer, tool calls. */

import { isCall, type Message, TAGS, type ToolCall } from "./chat.ts";

/** A piece of a reply, as it came. Of tool calls it is their JSON. */
export interface ReplyPart {
  readonly kind: "thinking" | "content" | "tool";
  readonly text: string;
}

type Kind = ReplyPart["kind"];

export class ReplyParser {
  #kind: Kind = "content";
  /** What may be the beginning of a tag, or space that nothing follows yet. */
  #held = "";
  readonly #texts: Record<Kind, string> = { thinking: "", content: "", tool: "" };
  #thought = false;
  /** Space is left out until something else comes: at the start, and behind tags. */
  #trims = true;
  readonly #calls: ToolCall[] = [];

  /** What became certain with some more text. */
  push(text: string): ReplyPart[] {
    this.#held += text;
    const parts: ReplyPart[] = [];
    for (;;) {
      const tag = this.#nextTag();
      if (!tag) break;
      this.#put(this.#held.slice(0, tag.at), parts);
      this.#held = this.#held.slice(tag.at + tag.length);
      this.#turn(tag.to, parts);
    }
    const sure = this.#held.length - this.#doubtful();
    this.#put(this.#held.slice(0, sure), parts);
    this.#held = this.#held.slice(sure);
    return parts;
  }

  /** The reply is over. */
  end(): { parts: ReplyPart[]; message: Message } {
    const parts: ReplyPart[] = [];
    this.#put(this.#held.trimEnd(), parts);
    this.#held = "";
    // A call that was not finished is what it looks like: text.
    if (this.#kind === "tool") this.#texts.content += TAGS.tool[0] + this.#texts.tool;
    const { thinking, content } = this.#texts;
    return {
      parts,
      message: {
        role: "assistant",
        content: content.trim(),
        ...(this.#thought && { thinking: thinking.trim() }),
        ...(this.#calls.length > 0 && { toolCalls: this.#calls }),
      },
    };
  }

  /** The first tag that means something where the reply is. */
  #nextTag(): { at: number; length: number; to: Kind } | undefined {
    const tags: [string, Kind][] =
      this.#kind === "content"
        ? [[TAGS.tool[0], "tool"], ...(this.#thinks ? ([[TAGS.thinking[0], "thinking"]] as [string, Kind][]) : [])]
        : [[TAGS[this.#kind][1], "content"]];
    const found = tags.map(([tag, to]) => ({ at: this.#held.indexOf(tag), length: tag.length, to }));
    const meant = found.filter(({ at, to }) => at >= 0 && (to !== "thinking" || !this.#held.slice(0, at).trim()));
    return meant.sort((a, b) => a.at - b.at)[0];
  }

  /** A thought comes first or not at all. */
  get #thinks(): boolean {
    return !this.#thought && this.#texts.content.trim() === "";
  }

  /** Characters at the end of what is held that may be the beginning of a tag, with the space before them. */
  #doubtful(): number {
    const tags = this.#kind === "content" ? [TAGS.tool[0], TAGS.thinking[0]] : [TAGS[this.#kind][1]];
    const longest = Math.max(...tags.map((tag) => tag.length)) - 1;
    let count = 0;
    for (let n = Math.min(longest, this.#held.length); n > 0 && count === 0; n--) {
      if (tags.some((tag) => tag.startsWith(this.#held.slice(-n)))) count = n;
    }
    const before = this.#held.slice(0, this.#held.length - count);
    return count + before.length - before.trimEnd().length;
  }

  #put(text: string, parts: ReplyPart[]): void {
    const kind = this.#kind;
    const shown = this.#trims ? text.trimStart() : text;
    if (shown === "") return;
    this.#trims = false;
    this.#texts[kind] += shown;
    parts.push({ kind, text: shown });
  }

  #turn(to: Kind, parts: ReplyPart[]): void {
    if (to === "thinking") this.#thought = true;
    if (this.#kind === "tool") this.#call(parts);
    this.#kind = to;
    this.#trims = true;
  }

  /** A call is complete. What is no call is shown as it was written. */
  #call(parts: ReplyPart[]): void {
    const text = this.#texts.tool;
    this.#texts.tool = "";
    try {
      const call: unknown = JSON.parse(text);
      if (isCall(call)) {
        this.#calls.push({ name: call.name, arguments: call.arguments });
        return;
      }
    } catch {
      // Not JSON.
    }
    const written = TAGS.tool[0] + text + TAGS.tool[1];
    this.#texts.content += written;
    parts.push({ kind: "content", text: written });
  }
}
