/** `rwkv run`: continues a prompt, writing the text as it comes. */

import type { GenerateOptions, GenerationResult, Part, Session } from "../index.ts";
import { type Command, type Given, numberOf, type Range, rangeText, UsageError } from "./arguments.ts";
import { readInput, textOf } from "./input.ts";
import { interruption } from "./interrupt.ts";
import { loadModel, modelArgs, modelOptions } from "./model.ts";
import { replaceFile, targetOf } from "./output.ts";
import { generateOptions, newSeed, optionArgs, settingsOf } from "./sampling.ts";
import { dim, printable, speedText, write } from "./terminal.ts";

/** What happens without a prompt. */
const PROMPT = "Once upon a time";
/** A prompt longer than this is a mistake. */
const PROMPT_BYTES = 16 << 20;
/** A saved state larger than this is another file. */
export const STATE_BYTES = 2 ** 30;
export const LOGPROBS: Range = { low: 0, high: 20, integer: true };

export const run: Command = {
  meta: { name: "run", description: "Continue a prompt" },
  args: {
    prompt: {
      type: "positional",
      required: false,
      description: `What the text starts with; else standard input, else "${PROMPT}"`,
    },
    ...modelArgs,
    ...optionArgs,
    state: {
      type: "string",
      valueHint: "file",
      description: "Start from this tuned state: .pth or safetensors of time_state",
    },
    "load-state": { type: "string", valueHint: "file", description: "Go on from where --save-state left off" },
    "save-state": {
      type: "string",
      valueHint: "file",
      description: "Write the state behind the text into this file; one that exists is replaced",
    },
    "no-prompt": { type: "boolean", description: "Write what follows the prompt, not the prompt" },
    json: { type: "boolean", description: "Write a line of JSON for each token, and one for the outcome" },
    logprobs: {
      type: "string",
      valueHint: "n",
      description: `With --json: how likely each token was, and so many alternatives: ${rangeText(LOGPROBS)}`,
    },
    echo: { type: "boolean", description: "With --json: lines for the tokens of the prompt, too" },
  },
  run: runPrompt,
};

async function runPrompt(given: Given): Promise<void> {
  const { values, switches } = given;
  const settings = await settingsOf("run", given);
  const options: GenerateOptions = { seed: newSeed(), ...generateOptions(settings), ...listing(given) };
  const loading = modelOptions("run", given);
  if (values.state !== undefined && values["load-state"] !== undefined)
    throw new UsageError("--state and --load-state exclude each other: a text starts from one state", "run");
  const words = wordsOf(values.prompt);
  const saved = values["load-state"];
  const restored = saved === undefined ? undefined : await readInput(saved, "the state", STATE_BYTES);
  const target = values["save-state"] === undefined ? undefined : await targetOf([], values["save-state"]);
  const signal = interruption();
  const model = await loadModel(values.model, { ...loading, sessions: 1 }, signal);
  try {
    const tuned = values.state === undefined ? undefined : await model.initialState(values.state, { signal });
    const session = model.session(restored ?? tuned);
    // Last of all: whoever still types must not have done so for a model that is not there.
    const prompt = words ?? (await pipedPrompt(signal, restored ? "" : PROMPT));
    const output = switches.has("json") ? new Lines() : new Story(switches.has("no-prompt") ? "" : prompt);
    try {
      await tell(session, prompt, options, output, signal);
    } finally {
      if (target !== undefined && session.position > 0) {
        const state = await session.save();
        await replaceFile(target, (write) => write(state));
      }
    }
  } finally {
    await model.close();
  }
}

/** What becomes of a text on standard output. */
interface Output {
  begin(): Promise<void>;
  part(part: Part): Promise<void>;
  /** It is over; without an outcome, before its end. */
  end(result?: GenerationResult): Promise<void>;
}

/** The prompt and the text, and a line end if there is none. */
class Story implements Output {
  readonly #prompt: string;
  readonly #shown = process.stdout.isTTY ? printable : (text: string) => text;
  #last = "\n";

  constructor(prompt: string) {
    this.#prompt = prompt;
  }

  async begin(): Promise<void> {
    await write(process.stdout, dim(process.stdout, this.#shown(this.#prompt)));
    this.#last = this.#prompt;
  }

  async part({ text }: Part): Promise<void> {
    if (text === "") return;
    await write(process.stdout, this.#shown(text));
    this.#last = text;
  }

  async end(): Promise<void> {
    if (!this.#last.endsWith("\n")) await write(process.stdout, "\n");
    this.#last = "\n";
  }
}

/** A line of JSON for each part, then one for the outcome if there is one. */
class Lines implements Output {
  async begin(): Promise<void> {}

  part(part: Part): Promise<void> {
    return this.#line(part);
  }

  async end(result?: GenerationResult): Promise<void> {
    // As text: readers of JSON lose what does not fit into a float64.
    if (result) await this.#line({ result: { ...result, seed: String(result.seed) } });
  }

  #line(value: object): Promise<void> {
    return write(process.stdout, `${JSON.stringify(value)}\n`);
  }
}

/** Writes the text to `output` as it comes, then to stderr what it took. */
async function tell(
  session: Session,
  prompt: string,
  options: GenerateOptions,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  let tokens = 0;
  let [first, last] = [0, 0];
  try {
    const generation = session.generate(prompt, { ...options, signal });
    await output.begin();
    for await (const part of generation) {
      if (!part.prompt) {
        last = performance.now();
        if (tokens++ === 0) first = last;
      }
      await output.part(part);
    }
    await output.end(await generation.result);
  } catch (error) {
    // What is said about it starts on a line of its own, if the output still takes one.
    await output.end().catch(() => {});
    if (!signal.aborted) throw error;
  }
  process.stderr.write(`${speedText(tokens, last - first, tokens - 1)}, seed ${options.seed}\n`);
  signal.throwIfAborted();
}

/** What is said of each token. Throws `UsageError`. */
function listing({ values, switches }: Given): GenerateOptions {
  const text = values.logprobs;
  const given = text === undefined ? (switches.has("echo") ? "echo" : undefined) : "logprobs";
  if (given && !switches.has("json")) throw new UsageError(`--${given} needs --json`, "run");
  if (switches.has("json") && switches.has("no-prompt"))
    throw new UsageError(
      "--json and --no-prompt exclude each other: lines of JSON hold no prompt without --echo",
      "run",
    );
  return {
    echo: switches.has("echo"),
    logprobs: text === undefined ? undefined : numberOf("run", "logprobs", text, LOGPROBS),
  };
}

/** The prompt from the command line, if there is one. */
function wordsOf(argument: string | undefined): string | undefined {
  // What the system hands over as bytes or half surrogates, Node has replaced by then: the text would be another one.
  if (argument?.includes("\ufffd"))
    throw new Error("the prompt is not UTF-8 text, or holds U+FFFD, which only standard input can bring");
  return argument;
}

/** What standard input brings, unless it is a terminal or empty; else `usual`. */
async function pipedPrompt(signal: AbortSignal, usual: string): Promise<string> {
  if (process.stdin.isTTY) return usual;
  signal.throwIfAborted();
  const stop = () => process.stdin.destroy(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    parts.push(part);
    length += part.length;
    if (length > PROMPT_BYTES) throw new Error(`the prompt on standard input is longer than ${PROMPT_BYTES >> 20} MiB`);
  }
  signal.removeEventListener("abort", stop);
  const text = textOf(Buffer.concat(parts), "the prompt on standard input");
  // What echo and editors put at the end is not meant to be continued.
  return text.replace(/\r?\n$/, "") || usual;
}
