// `rwkv run`, as a user would run it.
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { THREADS, TYPES } from "../../src/cli/model.ts";
import { OPTIONS } from "../../src/cli/sampling.ts";
import { RECIPES, TARGET_TYPES } from "../../src/engine/weight-types.ts";
import { wantedOf } from "../../src/generate.ts";
import { edited } from "../model/edited.ts";
import { fixture } from "../weights/support.ts";
import { rwkv, start } from "./rwkv.ts";

const STATS = /^(\d+) tokens? at [\d.]+ per second, seed (\d+)\n$/;
/** Never comes to an end: what was said is what is liked. */
const ENDLESS = ["run", "--temp", "0", "--frequency-penalty", "-100", "--max-tokens", "2000000000"];

const folder = "build/cli/run";
mkdirSync(folder, { recursive: true });
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(`${folder}/${name}`, content);
  return `${folder}/${name}`;
};

test("the prompt and the text go to stdout, what it took to stderr", async () => {
  const { code, stdout, stderr } = await rwkv(["run", "--seed", "7", "--max-tokens", "30", "The little dog"]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /^The little dog\S?.{30,}\n$/s);
  assert.is(STATS.exec(stderr)?.[1], "30", stderr);
  assert.is(STATS.exec(stderr)?.[2], "7");
});

test("the seed that is reported gives the same text, with any number of threads", async () => {
  const first = await rwkv(["run", "--max-tokens", "40"]);
  const seed = STATS.exec(first.stderr)![2];
  for (const threads of ["0", "1", "2", "auto"]) {
    const { stdout } = await rwkv(["run", "--max-tokens", "40", "--seed", seed, "--threads", threads]);
    assert.is(stdout, first.stdout, `threads ${threads}`);
  }
  const other = await rwkv(["run", "--max-tokens", "40", "--seed", String((BigInt(seed) + 1n) % 2n ** 64n)]);
  assert.is.not(other.stdout, first.stdout);
});

test("the story ends where it ends", async () => {
  const { stdout, stderr } = await rwkv(["run", "--temp", "0", "--max-tokens", "2000"]);
  assert.ok(Number(STATS.exec(stderr)![1]) < 2000);
  assert.match(stdout, /^Once upon a time.*[^\n]\n$/s);
});

test("the prompt: an argument, else standard input, else the usual one", async () => {
  const few = ["run", "--temp", "0", "--max-tokens", "3"];
  const starts = async (args: string[], input: string | Uint8Array | undefined, text: string) => {
    const { code, stdout, stderr } = await rwkv([...few, ...args], { input });
    assert.is(code, 0, stderr);
    assert.is(stdout.slice(0, text.length), text);
    return stdout;
  };
  const asked = await starts(["A cat"], undefined, "A cat");
  assert.is(await starts([], "A cat\n", "A cat"), asked);
  assert.is(await starts([], "A cat\r\n", "A cat"), asked);
  assert.is(await starts([], "\ufeffA cat", "A cat"), asked);
  assert.is(await starts(["A cat"], "A dog", "A cat"), asked);
  const usual = await starts([], undefined, "Once upon a time");
  assert.is(await starts([], "", "Once upon a time"), usual);
  await starts([], "A cat\n\n", "A cat\n");
  await starts(["--", "--temp"], undefined, "--temp");
  await starts([""], undefined, "");
});

test("every option does something", async () => {
  const greedy = ["run", "--temp", "0", "--max-tokens", "60", "A dog"];
  const plain = (await rwkv(greedy)).stdout;
  for (const option of ["--repetition-penalty=3", "--presence-penalty=9", "--frequency-penalty=5", "--max-tokens=9"])
    assert.is.not((await rwkv([...greedy, option])).stdout, plain, option);
  const drawn = ["run", "--seed", "1", "--max-tokens", "60", "A dog"];
  const some = (await rwkv(drawn)).stdout;
  assert.is.not(some, plain);
  for (const option of ["--temp=5", "--top-p=0.1", "--top-k=2", "--seed=2"])
    assert.is.not((await rwkv([...drawn, option])).stdout, some, option);
  assert.is((await rwkv([...drawn, "--top-k=1"])).stdout, plain);
  assert.is((await rwkv([...drawn, "--temp=-0.0"])).stdout, plain);
  for (const option of [
    "--min-p=0.5",
    "--typical-p=0.2",
    "--top-n-sigma=0.5",
    "--dry=5",
    "--xtc=1",
    "--dynamic-temp=5",
    "--max-time=1",
    "--stop=a",
  ])
    assert.is.not((await rwkv([...drawn, option])).stdout, some, option);
  const mirostat = (await rwkv([...drawn, "--mirostat=2"])).stdout;
  assert.is.not(mirostat, some);
  assert.is.not((await rwkv([...drawn, "--mirostat=2", "--mirostat-eta=0.9"])).stdout, mirostat);
  const fixtureModel = ["--model", "test/fixtures/v7.f16.gguf"];
  assert.is.not((await rwkv([...greedy, ...fixtureModel])).stdout, plain);
  assert.equal(TYPES, [...TARGET_TYPES, ...RECIPES]);
  for (const type of TYPES) assert.is((await rwkv([...greedy, "--weights", type])).code, 0, type);
});

test("the ranges and defaults of options are those of the interface", () => {
  const vocabulary = { size: 10, tokenizer: { bytes: () => new Uint8Array() } };
  for (const [name, { path, takes, usual }] of Object.entries(OPTIONS)) {
    // What is guessed is no setting of the drawing.
    if (typeof takes !== "object" || path.startsWith("speculate.")) continue;
    const { low, high, above, integer } = takes;
    const [option, part] = path.split(".");
    const wanted = (value?: number) => wantedOf({ [option]: part ? { [part]: value } : value }, vocabulary, []);
    const accepts = (value: number) => {
      try {
        wanted(value);
        return true;
      } catch {
        return false;
      }
    };
    assert.is(accepts(low), !above, `${name} ${low}`);
    assert.is(accepts(high), true, `${name} ${high}`);
    assert.is(accepts(integer ? low - 1 : low - 1e-6), false, `below ${name}`);
    if (high < Number.POSITIVE_INFINITY) assert.is(accepts(integer ? high + 1 : high + 1e-6), false, `above ${name}`);
    assert.is(accepts(low + 0.5), !integer, `${name} ${low + 0.5}`);
    if (usual === undefined) continue;
    const { sampling, ...ends } = wanted();
    const defaults: Record<string, unknown> = { ...sampling, ...ends };
    const value = part ? (defaults[option] as Record<string, unknown>)[part] : defaults[option];
    assert.is(value, Number(usual), `default of ${name}`);
  }
});

const cut = file("cut.gguf", fixture("v7.f16.gguf").subarray(0, 500_000));
const refusals: [args: string[], message: RegExp][] = [
  [["--model", `${folder}/none.gguf`], /none\.gguf cannot be opened: there is no such file/],
  [["--model", folder], /build\/cli\/run holds several weights files \(.*\); name the one to load/],
  [["--model", file("empty.gguf", "")], /empty\.gguf is empty/],
  [["--model", cut], /cut\.gguf is cut off: tensor ".*" takes bytes \d+ to \d+, but the file ends at byte 500000/],
  [["--model", file("page.gguf", "<!doctype html><title>Not found")], /page\.gguf is a web page/],
  [["--model", "test/fixtures/quants.gguf"], /quants\.gguf holds a model of the architecture "none"/],
  [["--temp", "-1"], /^rwkv: --temp must be a number from 0 to 100, not "-1"; see rwkv run --help\n$/],
  [["--temp", "abc"], /--temp must be a number from 0 to 100, not "abc"/],
  [["--temp", ""], /--temp must be a number from 0 to 100, not ""/],
  [["--temp", "NaN"], /--temp must be/],
  [["--temp", "0x1"], /--temp must be/],
  [["--temp"], /--temp needs a value/],
  [["--temp", "--seed", "1"], /--temp must be a number from 0 to 100, not "--seed"/],
  [["--no-temp"], /unknown option --no-temp/],
  [["--top-p", "0"], /--top-p must be a number above 0 to 1, not "0"/],
  [["--top-k", "1.5"], /--top-k must be an integer from 0, not "1\.5"/],
  [["--max-tokens", "0"], /--max-tokens must be an integer from 1, not "0"/],
  [["--threads", "1000"], /--threads must be auto or an integer from 0 to 64, not "1000"/],
  [["--threads", "1.5"], /--threads must be auto or an integer/],
  [["--threads", "-1"], /--threads must be auto or an integer/],
  [["--mirostat", "3", "--top-k", "5"], /--mirostat and --top-k exclude each other: mirostat decides itself/],
  [["--mirostat", "3", "--mirostat-eta", "1", "--xtc", "0.5"], /--mirostat and --xtc exclude each other/],
  [["--dynamic-temp", "1", "--temp", "0"], /--dynamic-temp and --temp 0 exclude each other: at temperature 0/],
  [["--dry", "101"], /--dry must be a number from 0 to 100, not "101"/],
  [["--logit-bias", "1"], /--logit-bias must be pairs id=number with commas between them, each a number from -100/],
  [["--logit-bias", "99999=1"], /logitBias must be of token ids from 0 to \d+, not of 99999/],
  [["--banned-tokens", "1,x"], /--banned-tokens must be token ids with commas between them, not "1,x"/],
  [["--stop-tokens", ""], /--stop-tokens must be token ids/],
  [["--stop", ""], /--stop must not be empty/],
  [["--stop", "a", "--stop="], /--stop must not be empty/],
  [["--penalize-prompt=yes"], /--penalize-prompt takes no value/],
  [["--max-time", "0"], /--max-time must be a number from 1, not "0"/],
  [["--grammar", "none.gbnf"], /the grammar none\.gbnf cannot be read: there is no such file/],
  [["--schema", file("no.json", "{")], /the schema build\/cli\/run\/no\.json is not JSON: /],
  [["--regex", "a", "--schema", file("any.json", "{}")], /--regex and --schema exclude each other/],
  [["--lookup", "17"], /--lookup must be an integer from 1 to 16, not "17"/],
  [["--lookup-tokens", "2"], /--lookup-tokens needs --lookup/],
  [["--xtc-threshold", "0.2"], /--xtc-threshold needs --xtc;/],
  [["--dry-breaker", "a"], /--dry-breaker needs --dry;/],
  [["--mirostat-eta", "0.2"], /--mirostat-eta needs --mirostat;/],
  [["--dynamic-temp-exponent", "2"], /--dynamic-temp-exponent needs --dynamic-temp;/],
  [["--logprobs", "2"], /--logprobs needs --json/],
  [["--echo"], /--echo needs --json/],
  [["--json", "--logprobs", "21"], /--logprobs must be an integer from 0 to 20, not "21"/],
  [["--json", "--no-prompt"], /--json and --no-prompt exclude each other/],
  [["--state", "a", "--load-state", "b"], /--state and --load-state exclude each other/],
  [["--load-state", "none.state"], /the state none\.state cannot be read: there is no such file/],
  [["--load-state", file("empty.state", "")], /This is not a usable session state/],
  [["--save-state", folder], /build\/cli\/run is not a file that can be replaced/],
  [["--save-state", `${folder}/none/x.state`], /cannot write a file in build\/cli\/run\/none: there is no such folder/],
  [["--seed", "-1"], /--seed must be an integer from 0 to 2\^64 - 1/],
  [["--seed", "18446744073709551616"], /--seed must be an integer from 0 to 2\^64 - 1/],
  [["--weights", "q6_k"], /--weights must be one of f32, f16, bf16, q8_0, .*, q4_0, q4_mix, not "q6_k"/],
  [["--weights", "toString"], /--weights must be one of/],
  [["--colour", "red"], /unknown option --colour/],
  [["--prompt=hello"], /unknown option --prompt/],
  [["--maxTokens", "3"], /unknown option --maxTokens/],
  [["-x"], /unknown option -x/],
  [["-1"], /unknown option -1/],
  [["Once", "upon"], /"upon" is one word too many \(a prompt of several words needs quotes\)/],
];

for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv run ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await rwkv(["run", ...args]);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
  });

const linesOf = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("--json: a line for each token, then one for the outcome", async () => {
  const args = ["run", "--json", "--temp", "0", "--max-tokens", "12", "The little dog"];
  const plain = await rwkv(args.filter((arg) => arg !== "--json"));
  const lines = linesOf((await rwkv(args)).stdout);
  const { result } = lines.pop();
  assert.is(`The little dog${lines.map(({ text }) => text).join("")}\n`, plain.stdout);
  assert.equal(
    { ...result, seed: typeof result.seed },
    {
      finishReason: "length",
      promptTokens: result.promptTokens,
      tokens: 12,
      seed: "string",
    },
  );
  const told = linesOf((await rwkv([...args, "--logprobs", "3", "--echo"])).stdout);
  const outcome = told.pop().result;
  const prompt = told.filter((part) => part.prompt);
  assert.is(prompt.map(({ text }) => text).join(""), "The little dog");
  assert.is(prompt.length, result.promptTokens);
  assert.equal(
    told.slice(prompt.length).map(({ token }) => token),
    lines.map(({ token }) => token),
  );
  const sum = told.slice(prompt.length).reduce((total, { logprob }) => total + logprob, 0);
  assert.ok(Math.abs(outcome.logprob - sum) < 1e-6);
  for (const { top, rank, token } of told.slice(prompt.length)) {
    assert.is(top.length, 3);
    assert.is(top[rank].token, token);
  }
});

test("stop strings, with escapes, more than one; stop tokens, bans and bias", async () => {
  const args = ["run", "--no-prompt", "--temp", "0", "--max-tokens", "100", "The little dog"];
  const { stdout: plain } = await rwkv(args);
  const at = Math.min(plain.indexOf("ou"), plain.indexOf(" a "));
  assert.is((await rwkv([...args, "--stop", "ou", "--stop", " a "])).stdout, `${plain.slice(0, at)}\n`);
  const line = await rwkv(["run", "--temp", "0", "--max-tokens", "300", "--stop", "\\n", "The little dog"]);
  assert.match(line.stdout, /^The little dog[^\n]+\n$/);
  const [first, second] = linesOf((await rwkv([...args.filter((arg) => arg !== "--no-prompt"), "--json"])).stdout);
  assert.is((await rwkv([...args, "--stop-tokens", `5,${second.token}`])).stdout, `${first.text}\n`);
  for (const option of [`--banned-tokens=${first.token}`, `--logit-bias=1=2.5,${first.token}=-inf`])
    assert.not.ok((await rwkv([...args, option])).stdout.startsWith(first.text), option);
});

test("a text held to an expression, a grammar, a schema, without a phrase; guessing changes nothing", async () => {
  const drawn = ["run", "--no-prompt", "--seed", "1", "--max-tokens", "60", "Lily is"];
  const text = async (...options: string[]) => {
    const { code, stdout, stderr } = await rwkv([...drawn, ...options]);
    assert.is(code, 0, stderr);
    return stdout;
  };
  assert.match(await text("--regex", " [a-z]{3} [0-9]"), /^ [a-z]{3} [0-9]\n$/);
  const grammar = file("yes.gbnf", 'root ::= " yes" | " no"');
  assert.match(await text("--grammar", grammar), /^ (yes|no)\n$/);
  const schema = file(
    "age.json",
    '{"type": "object", "properties": {"age": {"enum": [3, 4]}}, "required": ["age"], "additionalProperties": false}',
  );
  assert.ok([3, 4].includes(JSON.parse(await text("--schema", schema)).age));
  const plain = await text();
  assert.not.match(await text("--banned-phrase", plain.slice(0, 5), "--banned-phrase", "zzz"), plain.slice(0, 5));
  assert.is(await text("--lookup", "2", "--lookup-tokens", "3"), plain);
  const wrong = await rwkv([...drawn, "--grammar", file("bad.gbnf", "root ::= (")]);
  assert.match(wrong.stderr, /^rwkv: [^\n]*line 1[^\n]*\n$/);
  assert.is(wrong.code, 1);
});

test("a text goes on from a saved state, word for word", async () => {
  const drawn = ["run", "--seed", "1", "--temp", "0"];
  const whole = await rwkv([...drawn, "--max-tokens", "40", "A cat"]);
  const state = `${folder}/cat.state`;
  const first = await rwkv([...drawn, "--max-tokens", "15", "A cat", "--save-state", state]);
  const second = await rwkv([...drawn, "--max-tokens", "25", "--load-state", state, "--save-state", state]);
  assert.is(second.code, 0, second.stderr);
  assert.is(first.stdout.slice(0, -1) + second.stdout, whole.stdout);
  const third = await rwkv([...drawn, "--max-tokens", "5", "--load-state", state, " The end"]);
  assert.match(third.stdout, /^ The end/);
  const other = await rwkv(["run", "--model", "test/fixtures/v7.f16.gguf", "--load-state", state]);
  assert.match(other.stderr, /^rwkv: This state belongs to another model: .*\n$/);
  assert.is(other.code, 1);
});

test("the state of a text that was interrupted is saved", async () => {
  const state = `${folder}/interrupted.state`;
  const onOutput = (child: ChildProcess) => child.kill("SIGINT");
  const { code } = await rwkv([...ENDLESS, "Once", "--no-prompt", "--save-state", state], { onOutput });
  assert.is(code, 130);
  const next = await rwkv(["run", "--temp", "0", "--max-tokens", "3", "--load-state", state]);
  assert.is(next.code, 0, next.stderr);
});

test("standard input that is not UTF-8 is refused", async () => {
  const input = Uint8Array.of(0x41, 0xff, 0x42);
  const { code, stderr } = await rwkv(["run"], { input });
  assert.is(stderr, "rwkv: the prompt on standard input is not UTF-8 text\n");
  assert.is(code, 1);
});

test("what a file says cannot steer the terminal, and RWKV_DEBUG=1 shows where an error came from", async () => {
  const { stderr } = await rwkv(["run", "--model", `${folder}/\x1b[31mred`]);
  assert.match(stderr, /^rwkv: build\/cli\/run\/\[31mred cannot be opened/);
  const env = ["RWKV_DEBUG=1", process.execPath, "dist/cli.js", "run", "--model", "none"];
  assert.match((await start("env", env)).stderr, /^rwkv: none cannot.*\n.*Error.*\n +at /);
});

test("an interrupt ends the text where it is", async () => {
  for (const [signal, expected] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    const { code, stdout, stderr } = await rwkv([...ENDLESS, "Once"], { onOutput: (child) => child.kill(signal) });
    assert.is(code, expected, stderr);
    assert.match(stdout, /^Once.*\n$/s);
    assert.match(stderr, /^\d+ tokens?( at [\d.]+ per second)?, seed \d+\n$/);
  }
});

test("a prompt that is not UTF-8, or came to us with U+FFFD in the place of bytes, is refused", async () => {
  const refused = "rwkv: the prompt is not UTF-8 text, or holds U+FFFD, which only standard input can bring\n";
  // The shell's printf makes bytes that no argument of `spawn` can hold.
  const command = `exec "$0" dist/cli.js run "$(printf 'A\\377B')"`;
  assert.equal(await start("sh", ["-c", command, process.execPath]), { code: 1, stdout: "", stderr: refused });
  for (const prompt of ["A \ufffd", "half a pair: \ud83d"])
    assert.equal(await rwkv(["run", prompt]), { code: 1, stdout: "", stderr: refused });
  const piped = await rwkv(["run", "--max-tokens", "1"], { input: "A \ufffd cat" });
  assert.is(piped.code, 0, piped.stderr);
  assert.match(piped.stdout, /^A \ufffd cat/);
});

test("a model that is not there is missed before standard input is read", async () => {
  for (const missing of [
    ["--model", "none.gguf"],
    ["--state", "none.pth"],
  ]) {
    // Standard input is open and brings nothing: a command that waits for it does not end.
    const { code, stderr } = await rwkv(["run", ...missing], { input: null });
    assert.match(stderr, /^rwkv: none\.\w+ cannot be opened: there is no such file\n$/);
    assert.is(code, 1);
  }
});

test("an error in mid-text starts on a new line", async () => {
  // Every number is finite, but the logits are not.
  const bytes = await edited("v7.f32.gguf", (tensors) => {
    const { bytes } = tensors.get("output.weight")!;
    new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).fill(3e38);
  });
  const args = ["dist/cli.js", "run", "--model", file("diverges.gguf", bytes), "Hello"];
  const { code, stdout } = await start("sh", ["-c", '"$0" "$@" 2>&1', process.execPath, ...args]);
  assert.match(stdout, /^Hello\nrwkv: [^\n]*logits are not numbers[^\n]*\n$/);
  assert.is(code, 1);
});

const CLOSED = "rwkv: the output was closed before the text was complete\n";

test("a reader who leaves before the end is told, and ends it", async () => {
  const gone = await rwkv([...ENDLESS, "Once"], { onOutput: (child) => child.stdout!.destroy() });
  assert.is(gone.stderr, CLOSED);
  assert.is(gone.code, 1);
  const command = `{ "$0" dist/cli.js "$@"; echo "code $?" >&2; } | head -c 10`;
  const { stdout, stderr } = await start("sh", ["-c", command, process.execPath, ...ENDLESS]);
  assert.is(stdout, "Once upon ");
  assert.is(stderr, `${CLOSED}code 1\n`);
});

test("nobody has to read standard error", async () => {
  const few = ["run", "--temp", "0", "--max-tokens", "5"];
  const onStart = (child: ChildProcess) => child.stderr!.destroy();
  assert.equal({ ...(await rwkv(few, { onStart })), stderr: "" }, { ...(await rwkv(few)), stderr: "" });
  assert.is((await rwkv(["run", "--temp", "-1"], { onStart })).code, 1);
  const onOutput = (child: ChildProcess) => child.stdout!.destroy();
  assert.is((await rwkv([...ENDLESS, "Once"], { onStart, onOutput })).code, 1);
});

test("output that cannot be written is an error", async () => {
  if (!existsSync("/dev/full")) return;
  const { code, stderr } = await start("sh", ["-c", '"$0" dist/cli.js run > /dev/full', process.execPath]);
  assert.is(stderr, "rwkv: the output cannot be written: no space is left\n");
  assert.is(code, 1);
});

test("help, version, and commands that do not exist", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  for (const flag of ["--version", "-v"])
    assert.equal(await rwkv([flag]), { code: 0, stdout: `${version}\n`, stderr: "" });
  const help = await rwkv(["--help"]);
  assert.is(help.code, 0);
  for (const command of ["run", "quantize"]) assert.match(help.stdout, new RegExp(`^ +${command} `, "m"));
  assert.equal(await rwkv([]), help);
  const { stdout } = await rwkv(["run", "--help", "--nonsense"]);
  for (const name of [...Object.keys(OPTIONS), "model", "threads", "weights"])
    assert.match(stdout, new RegExp(`--${name}\\b`));
  assert.match(stdout, `integer from ${THREADS.low} to ${THREADS.high}`);
  assert.not.match(stdout, "\x1b");
  for (const [args, message] of [
    [["walk"], 'unknown command "walk"; see rwkv --help'],
    [["constructor"], 'unknown command "constructor"; see rwkv --help'],
    [["--walk"], "unknown option --walk; see rwkv --help"],
  ] as const)
    assert.equal(await rwkv([...args]), { code: 1, stdout: "", stderr: `rwkv: ${message}\n` });
});

test.run();
