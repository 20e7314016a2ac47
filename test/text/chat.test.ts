// The World template and what becomes of replies, however they are cut.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { callText, type Message, worldTemplate } from "../../src/text/chat.ts";
import { ReplyParser } from "../../src/text/reply.ts";

const PLAIN = { tools: [], think: "none" } as const;

test("turns are paragraphs", () => {
  const messages: Message[] = [
    { role: "system", content: "Be kind.\r\n\r\nBe short. " },
    { role: "user", content: "Hi\n\n\nthere" },
    { role: "assistant", content: "Hello." },
    { role: "user", content: "Bye" },
  ];
  const body = "System: Be kind.\nBe short.\n\nUser: Hi\nthere\n\nAssistant: Hello.\n\nUser: Bye\n\n";
  assert.equal(worldTemplate.render(messages, PLAIN, true), { body, opening: "Assistant:" });
  assert.equal(worldTemplate.render(messages, PLAIN, false), { body, opening: "" });
});

test("a conversation that goes on begins as it began", () => {
  const message = fc.record({
    role: fc.constantFrom("user", "assistant", "tool" as const),
    content: fc.string(),
  }) as fc.Arbitrary<Message>;
  fc.assert(
    fc.property(fc.array(message), fc.array(message), fc.boolean(), (some, more, tools) => {
      const options = { tools: tools ? [{ name: "clock" }] : [], think: "none" } as const;
      const { body } = worldTemplate.render(some, options, false);
      assert.ok(worldTemplate.render([...some, ...more], options, true).body.startsWith(body));
    }),
  );
});

test("thoughts of all lengths, and tools", () => {
  const user = { role: "user", content: "Why?" } as const;
  const render = (think: "skip" | "short" | "normal" | "long") =>
    worldTemplate.render([user], { tools: [], think }, true);
  assert.equal(render("skip"), { body: "User: Why?\n\n", opening: "Assistant: <think>\n</think" });
  assert.equal(render("short"), { body: "User: Why? think a bit\n\n", opening: "Assistant: <think" });
  assert.equal(render("normal"), { body: "User: Why? think\n\n", opening: "Assistant: <think" });
  assert.equal(render("long"), { body: "User: Why? think a lot\n\n", opening: "Assistant: <think" });

  const tools = [{ name: "add", description: "Adds.", parameters: { type: "object", properties: { a: {} } } }];
  const called: Message = { role: "assistant", content: "", toolCalls: [{ name: "add", arguments: { a: 1 } }] };
  const { body } = worldTemplate.render(
    [{ role: "system", content: "Count." }, user, called, { role: "tool", content: "2" }],
    { tools, think: "none" },
    false,
  );
  const [system, ...turns] = body.split("\n\n");
  assert.ok(system!.startsWith("System: Count.\nYou can call"));
  assert.ok(system!.includes(JSON.stringify(tools[0])));
  assert.equal(turns, [
    "User: Why?",
    'Assistant: <tool_call>{"name":"add","arguments":{"a":1}}</tool_call>',
    "User: <tool_response>2</tool_response>",
    "",
  ]);
});

/** What a parser makes of a text in pieces. */
function parse(pieces: readonly string[]) {
  const parser = new ReplyParser();
  const parts = pieces.flatMap((piece) => parser.push(piece));
  const { parts: last, message } = parser.end();
  const shown = { thinking: "", content: "", tool: "" };
  for (const { kind, text } of [...parts, ...last]) shown[kind] += text;
  return { shown, message };
}

test("replies are taken apart", () => {
  const call = { name: "add", arguments: { a: [1, { b: "<think>" }] } };
  const { shown, message } = parse([`<think>\n Hm. \n</think>\n It is two. ${callText(call)} `]);
  assert.equal(message, { role: "assistant", content: "It is two.", thinking: "Hm.", toolCalls: [call] });
  assert.is(shown.content.trim(), "It is two.");
  assert.is(shown.thinking.trim(), "Hm.");
  assert.equal(parse([" 1 < 2 <think> </thin"]).message.content, "1 < 2 <think> </thin");
  assert.equal(parse(["<tool_call>{}</tool_call>"]).message, {
    role: "assistant",
    content: "<tool_call>{}</tool_call>",
  });
  assert.is(parse(["a <tool_call>{"]).message.content, "a <tool_call>{");
  assert.is(parse(["<think>never ends"]).message.thinking, "never ends");
});

test("it does not matter how a reply is cut", () => {
  const piece = fc.constantFrom(
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<th",
    "a",
    " ",
    "\n",
    '{"name":"x","arguments":{}}',
    ">",
    "<",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(8), { maxLength: 40 }), (pieces, cuts) => {
      const text = pieces.join("");
      const cut: string[] = [];
      let at = 0;
      for (const n of cuts) {
        cut.push(text.slice(at, at + n));
        at += n;
      }
      cut.push(text.slice(at));
      assert.equal(parse(cut), parse([text]));
    }),
    { numRuns: 2000 },
  );
});

test.run();
