// `rwkv chat`, as a script uses it and as somebody at a terminal does. The shipped model's words make no sense in a conversation, but they
// are always the same.
import type { ChildProcess } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { THINK } from "../../src/cli/chat.ts";
import { OPTIONS } from "../../src/cli/sampling.ts";
import { COMMANDS } from "../../src/cli/talk.ts";
import { rwkv } from "./rwkv.ts";
import { hasTerminals, typed } from "./typist.ts";

const folder = "build/cli/chat";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const few = ["chat", "--temp", "0", "--max-tokens", "6"];
/** Answers that do not end: what was said is what is liked. */
const ENDLESS = ["chat", "--temp", "0", "--frequency-penalty", "-100", "--max-tokens", "2000000000"];

/** What a script gets for some lines. */
async function script(lines: string[], args = few) {
  const outcome = await rwkv(args, { input: lines.map((line) => `${line}\n`).join("") });
  assert.is(outcome.code, 0, outcome.stderr);
  return outcome;
}

test("a script: answers on stdout, the rest on stderr; the same text each time", async () => {
  const { stdout, stderr } = await script(["Hello.", "", "And then?", "/stats"]);
  assert.is(stdout.trimEnd().split("\n").length >= 2, true, stdout);
  assert.not.match(stdout, />/);
  assert.match(
    stderr,
    /^\d+ tokens at [\d.]+ per second from the question on, the first after \d+ ms and \d+ tokens read; .*; seed \d+\n4 messages, \d+ tokens\.$/m,
  );
  assert.is((await script(["Hello.", "And then?"])).stdout, stdout);
  assert.is.not((await script(["Hello, Tom.", "And then?"])).stdout, stdout);
  // What follows the last line without a line end is said, too.
  assert.is((await rwkv(few, { input: "Hello.\nAnd then?" })).stdout, stdout);
});

/** Answers of spaces: no word of them is ever shown. */
const SPACES = ["--logit-bias", "33=100"];

test("of an answer without a word no times are told", async () => {
  const { stderr } = await script(["Hello.", "/stats"], [...few, ...SPACES]);
  assert.match(stderr, /^6 tokens; max-tokens were reached; seed \d+\n2 messages/m);
});

test("several lines as one message", async () => {
  const quoted = await script(['"""One', "two", 'three"""']);
  assert.is((await script(["One\\", "two\\", "three"])).stdout, quoted.stdout);
  assert.is((await script(['"""', "One", "two", "three", '"""'])).stdout, quoted.stdout);
  assert.is((await rwkv(few, { input: '"""One\ntwo\nthree' })).stdout, quoted.stdout);
  assert.is((await script(['"""Hello."""'])).stdout, (await script(["Hello."])).stdout);
  const { stderr } = await script(["One\\", "two", "/stats"]);
  assert.match(stderr, /2 messages/);
});

test("/undo, /retry and /reset: the conversation is as if nothing had been", async () => {
  const [first, second] = (await script(["Hello.", "/undo", "A dog.", "/reset", "Hello."])).stdout
    .trimEnd()
    .split(/\n(?=[^\n])/);
  assert.ok(first && second);
  const alone = (text: string) => script([text]).then(({ stdout }) => stdout);
  const [hello, dog] = [await alone("Hello."), await alone("A dog.")];
  assert.is((await script(["Hello.", "/undo", "A dog.", "/reset", "Hello."])).stdout, hello + dog + hello);
  assert.is((await script(["Hello.", "/retry"])).stdout, hello + hello);
  const drawn = (await script(["Hello.", "/params temp 2", "/params seed 5", "/retry"])).stdout;
  assert.is.not(drawn, hello + hello);
});

test("/save and /load: another process goes on", async () => {
  const { stdout } = await script(["Hello.", `/save ${folder}/a.chat`, "And then?"]);
  const rest = (await script([`/load ${folder}/a.chat`, "And then?"])).stdout;
  assert.ok(rest.length > 1 && stdout.endsWith(rest));
  assert.is((await script(["And then?"], [...few, "--load", `${folder}/a.chat`])).stdout, rest);
});

test("/system, and --system, which is the same", async () => {
  const { stdout } = await script(["Hello."], [...few, "--system", "You are a dog."]);
  const other = await script(["Bye.", "/system You are a dog.", "/system", "Hello."]);
  assert.ok(other.stdout.endsWith(stdout));
  assert.match(other.stderr, /^You are a dog\.$/m);
  assert.is.not((await script(["Hello."])).stdout, stdout);
});

test("/params: shown, set, taken back; as the options are", async () => {
  const { stderr } = await script([
    "/params",
    "/params top-k 5",
    "/params top-k",
    "/params top-k default",
    "/params stop=\\n",
  ]);
  for (const name of Object.keys(OPTIONS)) assert.match(stderr, new RegExp(`^${name} `, "m"));
  for (const line of ["temp                    0", "top-k 5", "top-k (5): Choose", "top-k default: 0", 'stop "\\n"'])
    assert.ok(stderr.includes(`\n${line}`) || stderr.startsWith(line), line);
  const options = ["--repetition-penalty", "3", "--banned-tokens", "1,2", "--logit-bias", "5=-inf"];
  const set = ["/params repetition-penalty 3", "/params banned-tokens 1,2", "/params logit-bias 5=-inf", "Hello."];
  assert.is((await script(set)).stdout, (await script(["Hello."], [...few, ...options])).stdout);
});

test("/help and --help name everything", async () => {
  const { stderr } = await script(["/help"]);
  for (const name of Object.keys(COMMANDS)) assert.match(stderr, `/${name}`);
  const { stdout } = await rwkv(["chat", "--help"]);
  for (const name of ["system", "think", "template", "load", "model", ...Object.keys(OPTIONS)])
    assert.match(stdout, `--${name}`);
  assert.match(stdout, THINK.join(", "));
});

writeFileSync(`${folder}/no.chat`, "no chat");
writeFileSync(`${folder}/plain.txt`, "Hello");
writeFileSync(`${folder}/wrong.jinja`, "{% for m in messages %}\n{{ m.role m }}\n{% endfor %}");
const refusals: [line: string, message: RegExp][] = [
  ["/walk", /there is no command \/walk; \/help lists them/],
  ["/constructor", /there is no command \/constructor/],
  ["/undo", /There is no answer to take back/],
  ["/retry", /Nothing was said yet/],
  ["/undo twice", /\/undo takes nothing behind it/],
  ["/save", /\/save needs the name of a file/],
  [`/save ${folder}/none/a`, /cannot write a file in build\/cli\/chat\/none: there is no such folder/],
  ["/load none.chat", /the conversation none\.chat cannot be read: there is no such file/],
  [`/load ${folder}/no.chat`, /This is not a usable saved chat/],
  ["/params walk", /there is no parameter walk/],
  ["/params temp 101", /temp must be a number from 0 to 100, not "101"/],
  ["/params penalize-prompt 1", /penalize-prompt must be on or off, not "1"/],
  ["/params mirostat 5", /mirostat and temp 0 exclude each other/],
  ["/params xtc-threshold 0.2", /xtc-threshold needs xtc$/m],
];
for (const [line, message] of refusals)
  test(`refused, and ends a script: ${line}`, async () => {
    const { code, stderr, stdout } = await rwkv(few, { input: `${line}\nHello.\n` });
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
  });

for (const [args, message] of [
  [["--think", "deeply"], /--think must be one of none, skip, short, normal, long, not "deeply"/],
  [["--load", "a", "--system", "b"], /--load and --system exclude each other/],
  [["--template", "none.jinja"], /the template none\.jinja cannot be read: there is no such file/],
  [["--template", `${folder}/plain.txt`], /the template \S+plain\.txt is not in Jinja: it has neither {{ nor {%$/m],
  [
    ["--template", `${folder}/wrong.jinja`],
    /The chat template \S+wrong\.jinja cannot be read at line 2, "{{ m\.role m }}": /,
  ],
  [["--temp", "-1"], /--temp must be a number from 0 to 100, not "-1"; see rwkv chat --help/],
  [["Hello"], /"Hello" is one word too many/],
] as const)
  test(`refused: rwkv chat ${args.join(" ")}`, async () => {
    const { code, stderr } = await rwkv(["chat", ...args]);
    assert.match(stderr, message);
    assert.is(code, 1);
  });

test("a script's answer is stopped by SIGINT, and the conversation goes on; at its end it is over", async () => {
  const onOutput = (child: ChildProcess) => child.kill("SIGINT");
  const { code, stderr } = await rwkv(ENDLESS, { input: "Hello.\n/stats\n", onOutput });
  assert.is(code, 0, stderr);
  assert.match(stderr, /it was stopped; seed \d+\n2 messages/);
  const waits = await rwkv(few, {
    input: null,
    onStart: (child) => void child.stdin!.write("Hello.\n"),
    onOutput: (child) => child.kill("SIGTERM"),
  });
  assert.is(waits.code, 143);
});

const atTerminal = hasTerminals ? test : test.skip;

atTerminal("at a terminal: prompts, arrow keys, the Tab key, Ctrl-D", async () => {
  const { code, shown } = await typed(few, [
    { after: "> ", type: "/params top-k 7\r" },
    { after: /top-k 7\n> $/, type: "/sta\t" },
    { after: "/stats", type: "\r" },
    { after: /No answer yet.*\n> $/, type: "\x1b[A\x1b[A\r" },
    { after: /\/params top-k 7\ntop-k 7\n> $/, type: "Hello.\r" },
    { after: /\n\(max-tokens were reached\)\n> $/, type: "/retry\r" },
    { after: /\n\(max-tokens were reached\)\n> $/, type: '"""one\r' },
    { after: "... ", type: 'two"""\r' },
    { after: /\n\(max-tokens were reached\)\n> $/, type: "/stats\r" },
    { after: /4 messages, \d+ tokens\.\n> $/, type: "/nonsense\r" },
    { after: /there is no command \/nonsense.*\n> $/, type: "\x04" },
  ]);
  assert.is(code, 0, `ended with ${code}; the terminal showed:\n${shown}`);
  assert.match(shown, /stories.*RWKV-7\. \/help says what there is/);
  assert.match(shown, /has never seen a conversation/);
});

atTerminal("at a terminal: Ctrl-C stops the answer, not the program; twice at the prompt it ends", async () => {
  const { code, shown } = await typed(ENDLESS, [
    { after: /\n> $/, type: "Hello.\r" },
    { after: /Hello\.\n.{40}/, type: "\x03" },
    { after: /\n> $/, type: "/stats\r" },
    { after: /it was stopped; seed \d+\n2 messages, \d+ tokens\.\n> $/, type: "half a line\x03" },
    // Readline makes room for a line with a space.
    { after: /\n ?> $/, type: "/params max-tokens 5\r" },
    { after: /\n> $/, type: "And then?\r" },
    { after: /max-tokens were reached\)\n> $/, type: "\x03" },
    { after: /Ctrl-C once more ends.*\n> $/, type: "/stats\r" },
    { after: /4 messages, \d+ tokens\.\n> $/, type: "\x03" },
    { after: /Ctrl-C once more ends.*\n> $/, type: "\x03" },
  ]);
  assert.is(code, 0, `ended with ${code}; the terminal showed:\n${shown}`);
});

test.run();
