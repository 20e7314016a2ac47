// `rwkv eval` and `rwkv bench`: the numbers are those that the library gives, and what is wrong with a file is told by its line.
import { mkdirSync, writeFileSync } from "node:fs";
import { load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { tasksOf } from "../../src/cli/tasks.ts";
import { rwkv } from "./rwkv.ts";
import { hasTerminals, typed } from "./typist.ts";

const folder = "build/cli/eval";
mkdirSync(folder, { recursive: true });
const file = (name: string, lines: readonly (object | string)[]) => {
  const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
  writeFileSync(`${folder}/${name}`, text);
  return `${folder}/${name}`;
};
const evaluated = async (...args: string[]) => {
  const { code, stdout, stderr } = await rwkv(["eval", "--json", ...args]);
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
};

const model = await load("weights/stories-7m.q8_0.gguf", { threads: 0 });
const TEXTS = [
  "Once upon a time, there was a little girl named Lily.",
  "Tom had a big red ball. He played with his ball every day.",
  "Größe — 大きい stones fell down.",
];
const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${a} is not ${b}`);

test("perplexity: over all tokens, and bits per byte of all bytes", async () => {
  const { perplexity } = await evaluated(file("texts.jsonl", [...TEXTS.map((text) => ({ text })), ""]));
  const each = await Promise.all(TEXTS.map((text) => model.perplexity(text)));
  const [logprob, tokens] = [0, 0].map((_, i) => each.reduce((sum, one) => sum + (i ? one.tokens : one.logprob), 0));
  assert.is(perplexity.texts, 3);
  assert.is(perplexity.tokens, tokens);
  near(perplexity.perplexity, Math.exp(-logprob / tokens));
  const bits = each.reduce((sum, one, i) => sum + one.bitsPerByte! * Buffer.byteLength(TEXTS[i]), 0);
  near(perplexity.bitsPerByte, bits / perplexity.bytes);
});

test("lambada: right exactly where greedy generation writes the last word", async () => {
  const texts = [
    ...TEXTS,
    "Once upon a time",
    "Once upon a stone",
    "They lived happily ever after.",
    "Lily went to the park \n",
  ];
  const { lambada } = await evaluated(
    "--task",
    "lambada",
    file(
      "words.jsonl",
      texts.map((text) => ({ text })),
    ),
  );
  let right = 0;
  for (const text of texts) {
    const [, context, word] = /^(.*?)(\s\S+)\s*$/s.exec(text)!;
    const maxTokens = model.tokenizer.encode(word).length;
    if ((await model.generate(context, { temperature: 0, maxTokens, stopTokens: [] }).text()) === word) right++;
  }
  assert.ok(right > 0 && right < texts.length);
  assert.is(lambada.texts, texts.length);
  near(lambada.accuracy, right / texts.length);
  near(lambada.standardError, Math.sqrt((lambada.accuracy * (1 - lambada.accuracy)) / (texts.length - 1)));
});

const QUESTIONS = [
  { prompt: "Once upon a", choices: ["dog", "time"], answer: 1 },
  { prompt: "Once upon a", choices: ["dog", "time"], answer: "A" },
  { question: "What is hot?", choices: ["ice", "the sun", "a long and very improbable answer"], answer: "the sun" },
  { prompt: "The cat said: ", choices: ["meow", "woof"], answer: 0 },
];

test("choice: the likeliest, by probability and by byte; three ways to write an answer", async () => {
  const { choice } = await evaluated(file("choices.jsonl", QUESTIONS));
  const rights = [0, 0];
  for (const { prompt, question, choices, answer } of QUESTIONS) {
    const asked = prompt ?? `Question: ${question}\nAnswer:`;
    const said = choices.map((one) => (asked.endsWith(" ") ? one : ` ${one}`));
    const scores = await model.score(asked, said);
    const right = typeof answer === "number" ? answer : answer === "A" ? 0 : choices.indexOf(answer);
    for (const [i, by] of (["logprob", "perByte"] as const).entries())
      if (scores.every((one) => one[by]! <= scores[right][by]!)) rights[i]++;
  }
  assert.ok(rights[0] > 0 && rights[0] < 4);
  assert.is(choice.questions, 4);
  assert.is(choice.accuracy, rights[0] / 4);
  assert.is(choice.perByte.accuracy, rights[1] / 4);
});

test("kinds together, as lines of text; a limit; threads change nothing", async () => {
  const mixed = file("mixed.jsonl", [{ text: TEXTS[0] }, QUESTIONS[0], { text: TEXTS[1] }]);
  const { stdout } = await rwkv(["eval", mixed]);
  assert.match(
    stdout,
    /^perplexity {2}[\d.]+, [\d.]+ bits per byte; 2 texts, \d+ tokens\nchoice {6}1\.0000 right, .*; 1 questions\n$/,
  );
  assert.is((await evaluated(mixed, "--limit", "2")).perplexity.texts, 1);
  assert.equal(await evaluated(mixed, "--threads", "2"), await evaluated(mixed, "--threads", "0"));
});

const right = { prompt: "a", choices: ["b", "c"], answer: 0 };
const wrong: [line: object | string, message: RegExp, ...args: string[]][] = [
  ["{", /it is not JSON$/],
  ["[".repeat(100_000), /it is not JSON$/],
  ["5", /it is not a JSON object$/],
  ["[]", /it is not a JSON object$/],
  [{}, /"text" must be a text that is not empty$/],
  [{ text: 5 }, /"text" must be a text/],
  [{ text: "" }, /"text" must be a text/],
  ['{"text": "\\ud800"}', /"text" holds half a surrogate pair$/],
  [{ text: "word" }, /"text" must have at least two words/, "lambada"],
  [{ text: " word " }, /"text" must have at least two words/, "lambada"],
  [{ text: "a b" }, /"choices" must be an array of 2 to 100 texts$/, "choice"],
  [{ ...right, choices: ["b"] }, /"choices" must be an array of 2 to 100 texts$/],
  [{ ...right, choices: ["b", 5] }, /"choices\[1\]" must be a text that is not empty$/],
  [{ ...right, choices: ["", "b"] }, /"choices\[0\]" must be a text that is not empty$/],
  [{ ...right, prompt: 5 }, /"prompt" must be a text/],
  [{ choices: ["b", "c"], answer: 0 }, /"question" must be a text/],
  ...[2, -1, 0.5, "C", "d", null, undefined, [0]].map((answer): [object, RegExp] => [
    { ...right, answer },
    /"answer" must be a number from 0 to 1, a letter from A, or one of the choices$/,
  ]),
];
for (const [line, message, kind] of wrong)
  test(`refused, with its line: ${JSON.stringify(line).slice(0, 60)} ${kind ?? ""}`, () => {
    const text = ["", "", typeof line === "string" ? line : JSON.stringify(line)].join("\n");
    assert.throws(
      () => tasksOf("some.jsonl", text, kind as "lambada" | undefined, 10),
      (error: Error) => error.message.startsWith("some.jsonl, line 3: ") && message.test(error.message),
    );
  });

const refusals: [args: string[], message: RegExp][] = [
  [["eval"], /<FILE> is missing/],
  [["eval", "none.jsonl"], /the file none\.jsonl cannot be read: there is no such file/],
  [["eval", file("empty.jsonl", [])], /empty\.jsonl holds no lines to evaluate/],
  [["eval", file("third.jsonl", [right, right, "x"])], /third\.jsonl, line 3: it is not JSON/],
  [["eval", "--task", "walk", "a"], /--task must be one of perplexity, lambada, choice, not "walk"/],
  [["eval", "--limit", "0", "a"], /--limit must be an integer from 1, not "0"/],
  [["bench", "--threads", "1,many"], /--threads must be auto or an integer from 0 to 64, not "many"/],
  [["bench", "--batch", "0"], /--batch must be an integer from 1 to 256, not "0"/],
  [["bench", "--runs", ""], /--runs must be an integer from 1 to 1000, not ""/],
  [["bench", "a", "--model", "b"], /the model was named twice/],
  [["bench", "none.gguf"], /none\.gguf cannot be opened/],
];
for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await rwkv(args);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
  });

test("bench: a row for each number of threads and of texts", async () => {
  const few = ["bench", "--threads", "0,1", "--batch", "1,3", "--prompt", "8", "--tokens", "4", "--runs", "2"];
  const { rows, runs, model } = JSON.parse((await rwkv([...few, "--json"])).stdout);
  assert.match(model, /^stories-7m, RWKV-7/);
  assert.is(runs, 2);
  assert.equal(
    rows.map((row: { threads: number; batch: number; mode: string }) => [row.batch, row.mode]),
    [
      [1, "inline"],
      [3, "inline"],
      [1, "team"],
      [3, "team"],
    ],
  );
  for (const { prefill, decode } of rows)
    for (const { median, slowest, quickest } of [prefill, decode])
      assert.ok(0 < slowest && slowest <= median && median <= quickest);
  const { stdout } = await rwkv([...few, "weights/stories-7m.q8_0.gguf"]);
  assert.is(stdout.trimEnd().split("\n").length, 5 + 4);
});

(hasTerminals ? test : test.skip)("Ctrl-C ends both, whose progress a terminal shows", async () => {
  const many = file(
    "many.jsonl",
    Array.from({ length: 20_000 }, () => ({ text: TEXTS[0] })),
  );
  const forever = ["bench", "--threads", "1", "--prompt", "8", "--tokens", "8", "--runs", "1000"];
  for (const [args, after] of [
    [["eval", many], "Evaluating"],
    [forever, "Measuring"],
  ] as const) {
    const { code, shown } = await typed([...args], [{ after, type: "\x03" }]);
    assert.is(code, 130, shown);
  }
});

test.after(() => model.close());
test.run();
