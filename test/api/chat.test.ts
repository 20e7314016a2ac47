// Conversations: what is said, what the state has of it, and what a turn costs. The shipped model tells stories and knows nothing of
// conversations, which does not matter here: what it says is the same on both ways to the same place.
import { Template } from "@huggingface/jinja";
import { load, type Message } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { at } from "../files.ts";
import { refused } from "../refused.ts";

const model = await load(at("weights/stories-7m.q8_0.gguf"), { threads: 1 });
const greedy = { temperature: 0, maxTokens: 20 };
const HISTORY: readonly Message[] = [
  { role: "user", content: "Tom has a\n\nbig dog." },
  { role: "assistant", content: "The dog is red." },
  { role: "user", content: "Tell me more." },
];
const TEXT = "User: Tom has a\nbig dog.\n\nAssistant: The dog is red.\n\nUser: Tell me more.\n\nAssistant:";

test("a chat is the text of its template", async () => {
  const chat = await model.chat({ messages: HISTORY });
  const { content } = await chat.reply(greedy).message;
  const text = await model.generate(TEXT, { ...greedy, stop: "\n\n" }).text();
  assert.is(content, text.trim());
  assert.is(chat.messages.length, 4);
  assert.equal(chat.messages[3], { role: "assistant", content });
  await chat.close();
});

test("a second turn reads its own tokens only, and gives what reading everything gives", async () => {
  const chat = await model.chat({ system: "Be kind." });
  const first = await chat.send("Hello.", greedy).text();
  const before = chat.position;
  const second = await chat.send("And then?", greedy).message;
  const { tokenizer } = model;
  const turn = tokenizer.encode("\n\nUser: And then?\n\nAssistant:").length;
  assert.ok(chat.position - before <= turn + 20 + 1, `${chat.position - before} tokens`);

  const whole = await model.chat({ system: "Be kind.", messages: chat.messages.slice(1, 4) });
  assert.equal(chat.messages[2], { role: "assistant", content: first });
  assert.is((await whole.reply(greedy).message).content, second.content);
  await chat.close();
  await whole.close();
});

test("parts make up the message; a reply left early is what was read, and the chat goes on", async () => {
  const chat = await model.chat();
  let read = "";
  for await (const { kind, text } of chat.send("Once upon a time", greedy)) {
    assert.is(kind, "content");
    read += text;
    if (read.length > 10) break;
  }
  assert.is(chat.messages.at(-1)!.content, read.trim());
  const more = await chat.send("Go on.", greedy).message;
  const same = await model.chat({ messages: chat.messages.slice(0, 3) });
  assert.is((await same.reply(greedy).message).content, more.content);
  await chat.close();
  await same.close();
});

test("an aborted reply leaves the conversation as it was", async () => {
  const chat = await model.chat({ messages: HISTORY });
  const stop = new AbortController();
  const reason = new Error("enough");
  const reply = chat.reply({ ...greedy, maxTokens: 5000, signal: stop.signal });
  try {
    for await (const _ of reply) stop.abort(reason);
    assert.unreachable();
  } catch (error) {
    assert.is(error, reason);
  }
  assert.equal(chat.messages, HISTORY);
  const again = await chat.reply(greedy).text();
  const fresh = await model.chat({ messages: HISTORY });
  assert.is(again, await fresh.reply(greedy).text());
  await chat.close();
  await fresh.close();
});

test("answers are taken back; a chat is reset", async () => {
  const chat = await model.chat({ system: "Be kind." });
  const first = await chat.send("Hello.", greedy).text();
  await chat.undo();
  assert.is(chat.messages.length, 2);
  assert.is(await chat.reply(greedy).text(), first);
  await chat.undo({ all: true });
  assert.equal(chat.messages, [{ role: "system", content: "Be kind." }]);
  assert.is(await chat.send("Hello.", greedy).text(), first);
  await chat.reset();
  assert.is(chat.position, 0);
  assert.is(await chat.send("Hello.", greedy).text(), first);
  await chat.undo();
  await refused(chat.undo(), "input", /no answer to take back/);
  await chat.close();
});

test("saved and continued another day", async () => {
  const chat = await model.chat();
  await chat.send("Hello.", greedy).text();
  const bytes = await chat.save();
  const next = await chat.send("What else?", greedy).text();
  const other = await model.chat({ saved: bytes });
  assert.equal(other.messages, chat.messages.slice(0, 2));
  assert.is(await other.send("What else?", greedy).text(), next);
  for (const [i, why] of [
    [0, /does not begin/],
    [9, /cut off/],
    [20, /checksum/],
  ] as const) {
    const broken = bytes.slice();
    broken[i] ^= 0x40;
    if (i === 9) broken[11] = 0xff;
    await refused(model.chat({ saved: broken }), "state", why);
  }
  await refused(model.chat({ saved: bytes.slice(0, 40) }), "state", /cut off|usable/);
  await chat.close();
  await other.close();
});

test("thoughts: asked for, told apart, forgotten if wanted", async () => {
  const options = { ...greedy, maxTokens: 12 };
  const chat = await model.chat({ think: "short", keepThinking: false });
  const reply = chat.send("Hello.", { ...options, logitBias: { [idOf(">")]: 3 } });
  for await (const { kind } of reply) assert.ok(kind === "thinking" || kind === "content");
  const message = await reply.message;
  assert.is(message.role, "assistant");
  await chat.send("Go on.", options).text();
  await chat.close();
});

test("templates in Jinja", async () => {
  const source =
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
  const messages = HISTORY.map((message) => ({ ...message }));
  // In pages and in workerd packages have no names: there the class has to be given.
  const named = !("document" in globalThis) && globalThis.navigator?.userAgent !== "Cloudflare-Workers";
  if (!named) await refused(model.chat({ template: source, messages }), "unsupported", /needs the class Template/);
  for (const template of [...(named ? [source] : []), { source, Template }]) {
    const chat = await model.chat({ template, messages });
    const text = new Template(source).render({ messages, add_generation_prompt: true });
    const wanted = await model.generate(text, { ...greedy, stop: "<|end|>" }).text();
    assert.is(await chat.reply(greedy).text(), wanted.trim());
    const before = chat.position;
    await chat.send("More.", { ...greedy, maxTokens: 1 }).text();
    assert.ok(chat.position - before < 60);
    await chat.close();
  }
  await refused(
    model.chat({ template: { source } as never }),
    "input",
    /template\.Template must be the class .* not undefined/,
  );
  const at = async (source: string, where: RegExp) =>
    await refused(model.chat({ template: { source, Template } }), "input", /template cannot be read at line/, where);
  await at("{% if %}", /line 1, "{% if %}": Unexpected token/);
  await at("{% if a %}\n{% endif %}\n{% if b %}x", /line 3, "{% if b %}": what begins there has no end/);
  await at("{% for m in messages %}\n{{ m.role }}{% endif %}\n{{ m }}", /line 2, "{% endif %}": Unknown/);
  await at("{% for m in messages %}{% if m %}\n{{ m\n m }}{% endif %}", /line 2, "{{ m m }}": /);
  await at("{{ a }}\n\n{{ b", /line 3, "{{ b": /);
  // A template in which the search would take long is refused without the place.
  const long = `${"{{ a }}".repeat(10_000)}{% if %}`;
  await refused(model.chat({ template: { source: long, Template } }), "input", /cannot be read: Unexpected/);
  await refused(model.chat({ template: "chatml" }), "input", /no chat template "chatml"/);
});

test("what is wrong is named", async () => {
  const wrong = async (options: object, why: RegExp) => await refused(model.chat(options as never), "input", why);
  await wrong({ system: 1 }, /system must be a string/);
  await wrong({ think: "deep" }, /think is one of none, skip/);
  await wrong(null as never, /The options of a chat must be an object .*, not null/);
  await wrong(5 as never, /The options of a chat must be an object .*, not 5/);
  await wrong({ sytem: "a" }, /a chat must be .* any of system, .*; it has no "sytem"/);
  await wrong({ keepThinking: 5 }, /keepThinking must be true or false, not 5/);
  await wrong({ generate: 5 }, /The options of a chat's generate must be an object .*, not 5/);
  await wrong({ generate: { tempature: 1 } }, /a chat's generate must be .*; it has no "tempature"/);
  await wrong({ generate: { echo: true } }, /a chat's generate must be .*; it has no "echo"/);
  await wrong({ generate: { signal: 5 } }, /signal must be an AbortSignal, not 5/);
  await wrong({ template: 5 }, /template must be "rwkv-world", .*, not 5/);
  await wrong({ messages: 5 }, /messages must be an array of { role, content }, not 5/);
  await wrong({ messages: ["Hi."] }, /Message 0 must be { role, content }, not "Hi\."/);
  await wrong({ messages: [{ role: "bot", content: "" }] }, /Message 0 has the role "bot"/);
  await wrong({ messages: [{ role: "user" }] }, /Message 0 must have a string/);
  await wrong(
    {
      messages: [
        { role: "user", content: "a" },
        { role: "system", content: "b" },
      ],
    },
    /only the first/,
  );
  await wrong({ tools: [{ name: "a" }, { name: "a" }] }, /Two tools are called "a"/);
  await wrong({ tools: [{}] }, /Tool 0 must have a name/);
  const chat = await model.chat();
  const at = async (ask: () => unknown) => void (await ask());
  await refused(
    at(() => chat.reply()),
    "input",
    /Nothing was said/,
  );
  const forced = { toolChoice: "required" } as const;
  await refused(
    at(() => chat.send("Hi.", forced)),
    "input",
    /asks for a tool that there is not; the chat has none/,
  );
  const tempted = (options: object, why: RegExp) =>
    refused(
      at(() => chat.send("Hi.", options)),
      "input",
      why,
    );
  await tempted({ echo: true }, /a reply must be .*; it has no "echo"/);
  await tempted({ n: 2 }, /a reply must be .*; it has no "n"/);
  await tempted({ signal: new AbortController() }, /signal must be an AbortSignal, not an object/);
  for (const said of [undefined, 5, null]) {
    await refused(
      at(() => chat.send(said as never)),
      "input",
      /What is sent is a text, a message .*, not (undefined|5|null)/,
    );
  }
  assert.is(chat.messages.length, 0);
  const text = chat.send("Hi.", greedy).text();
  await refused(
    at(() => chat.send("Ho.")),
    "busy",
    /answering/,
  );
  await text;
  await chat.close();
  await refused(
    at(() => chat.send("Ho.")),
    "closed",
    /closed/,
  );
});

test("a reply begins when it is read; one that is not is in nobody's way", async () => {
  const chat = await model.chat();
  const late = chat.send("Hello.", greedy);
  assert.is(await chat.reply(greedy).text(), await model.chat().then((other) => other.send("Hello.", greedy).text()));
  await refused(late.text(), "input", /went on before this reply was read/);
  await refused(late.result, "input", /went on/);
  const closed = chat.send("Bye.", greedy);
  await chat.close();
  await refused(closed.text(), "closed");
});

test("a call that the model has to make: of its tool's form alone, and a call only if it is whole", async () => {
  const tools = [{ name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } }];
  const chat = await model.chat({ tools, generate: { ...greedy, stop: "x" } });
  const forced = { toolChoice: "required", stop: undefined } as const;
  for (const [name, value] of Object.entries({ regex: "a+", grammar: 'root ::= "a"', schema: {}, stop: "a" })) {
    const ask = async () => chat.send("How is it in Rome?", { ...forced, [name]: value });
    await refused(ask(), "input", new RegExp(`toolChoice and ${name} exclude each other`));
  }
  const reply = chat.send("How is it in Rome?", { ...forced, maxTokens: 3 });
  const { toolCalls, content } = await reply.message;
  assert.is((await reply.result).finishReason, "length");
  assert.is(toolCalls, undefined);
  assert.match(content, /^<tool_call>{/);
  assert.not.match(content, /<\/tool_call>/);
  await chat.close();
});

const idOf = (text: string): number => model.tokenizer.encode(text)[0]!;

test.after(() => model.close());
test.run();
