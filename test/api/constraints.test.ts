// Texts that must be like something: they are, with any sampling, and what is wrong is named.
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { at } from "../files.ts";
import { refused } from "../refused.ts";

const model = await load(at("weights/stories-7m.q8_0.gguf"), { threads: 1 });
test.after(() => model.close());

const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 130 },
    pets: { type: "array", items: { enum: ["cat", "dog"] }, maxItems: 3 },
  },
  required: ["name", "age", "pets"],
  additionalProperties: false,
} as const;

test("JSON of a schema, whatever the model would like to say", async () => {
  for (let seed = 0; seed < 8; seed++) {
    const generation = model.generate("Tom is", { schema: PERSON, seed, temperature: 1.5, topP: 1, maxTokens: 400 });
    const text = await generation.text();
    const { finishReason } = await generation.result;
    assert.is(finishReason, "stop", text);
    const person = JSON.parse(text);
    assert.equal(Object.keys(person).sort(), ["age", "name", "pets"]);
    assert.ok(Number.isInteger(person.age) && person.age >= 0 && person.age <= 130);
    assert.ok([...person.name].length <= 12);
    assert.ok(person.pets.length <= 3 && person.pets.every((pet: string) => pet === "cat" || pet === "dog"));
  }
});

test("a regular expression and a grammar", async () => {
  const date = await model.generate("On", { regex: "[0-9]{4}-[0-9]{2}-[0-9]{2}", temperature: 1, seed: 1 }).text();
  assert.match(date, /^\d{4}-\d\d-\d\d$/);
  const grammar = 'root ::= "(" root ")" | "x"';
  const nested = await model.generate("f", { grammar, temperature: 1, topP: 1, seed: 2, maxTokens: 500 }).text();
  assert.is(nested.replace(/^\(*x\)*$/, ""), "");
  assert.is(nested.split("(").length, nested.split(")").length);
});

test("phrases that are banned do not occur", async () => {
  const options = { temperature: 0, maxTokens: 60 };
  const free = await model.generate("Once upon a time", options).text();
  assert.match(free, /little girl/);
  const bound = await model.generate("Once upon a time", { ...options, bannedPhrases: ["little girl", "Lily"] }).text();
  assert.not.match(bound, /little girl|Lily/);
});

test("the same in company, with guesses, in candidates and in a session that goes on", async () => {
  const options = { schema: PERSON, temperature: 1, seed: 5, maxTokens: 200 };
  const alone = await model.generate("Tom is", options).text();
  const together = await Promise.all([5, 6, 7, 5].map((seed) => model.generate("Tom is", { ...options, seed }).text()));
  assert.is(together[0], alone);
  assert.is(together[3], alone);
  assert.is(await model.generate("Tom is", { ...options, speculate: { lookup: 2, tokens: 4 } }).text(), alone);
  const [candidate] = await model.candidates("Tom is", options);
  assert.is(candidate!.text, alone);

  const session = model.session();
  await session.feed("Tom is");
  assert.is(await session.generate([], options).text(), alone);
  const whole = model.session();
  await whole.feed("Tom is");
  await whole.feed(model.tokenizer.encode(alone));
  assert.type(await session.generate(".", { temperature: 0, maxTokens: 5 }).text(), "string");
  await session.close();
  await whole.close();
});

test("a forced tool call is one", async () => {
  const tools = [
    {
      name: "weather",
      parameters: {
        type: "object",
        properties: { city: { enum: ["Rome", "Oslo"] } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  ];
  const chat = await model.chat({ tools, generate: { temperature: 1, seed: 3, maxTokens: 100 } });
  const { toolCalls, content } = await chat.send("How is it in Rome?", { toolChoice: "required" }).message;
  assert.is(content, "");
  assert.is(toolCalls!.length, 1);
  assert.is(toolCalls![0]!.name, "weather");
  assert.ok(["Rome", "Oslo"].includes(String(toolCalls![0]!.arguments.city)));
  chat.add({ role: "tool", name: "weather", content: "Rain." });
  assert.is((await chat.reply({ maxTokens: 5 }).message).role, "assistant");
  await chat.close();
});

test("what is wrong says where, and leaves the model usable", async () => {
  const wrong = (options: object, why: RegExp) => refused(model.generate("Tom", options).text(), "input", why);
  await wrong({ grammar: 'root ::= "a' }, /line 1/);
  await wrong({ regex: "(a" }, /./);
  await wrong({ schema: { type: "strin" } }, /type/);
  await wrong({ schema: PERSON, regex: "a" }, /regex and schema exclude each other/);
  assert.is(await model.generate("Tom", { regex: "abc" }).text(), "abc");
});

test("schemas that unfold without end, or are no JSON, are refused at once", async () => {
  let folded: object = {};
  for (let i = 0; i < 100; i++) folded = { allOf: [folded, folded] };
  await refused(model.generate("a", { schema: folded }).text(), "unsupported", /too many values|nested too deep/);
  await refused(model.generate("a", { schema: { const: () => 1 } }).text(), "input", /function is no JSON/);
});

test.run();
