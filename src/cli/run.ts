/** `rwkv run`: continues a prompt, writing the text as it comes. */

import type { CommandDef } from "citty";
import type { GenerateOptions, LoadOptions, Model } from "../index.ts";
import { type Arguments, numberOf, type Range, rangeText, UsageError } from "./arguments.ts";
import { interruption } from "./interrupt.ts";
import { SHIPPED, shipped } from "./shipped.ts";
import { dim, Progress, printable, warn, write } from "./terminal.ts";

/** What happens without a prompt. */
const PROMPT = "Once upon a time";
/** A prompt longer than this is a mistake. */
const PROMPT_BYTES = 16 << 20;
type WeightType = NonNullable<LoadOptions["weights"]>;
/** What weights can be converted to. */
export const TYPES = ["f32", "f16", "bf16", "q8_0", "q7_0", "q5_1", "q5_0", "q4_1", "q4_0"] satisfies WeightType[];
/** Numbers of a LoRA, by the option that gives them. */
export const LORA: Readonly<Record<"lora-alpha" | "lora-strength", Range>> = {
  "lora-alpha": { low: 0, above: true, high: 1e6 },
  "lora-strength": { low: -100, high: 100 },
};
export const THREADS: Range = { low: 0, high: 64, integer: true };

interface Setting extends Range {
  option: keyof GenerateOptions;
  default: string;
  about: string;
}

const COUNT = { low: 0, high: 2 ** 31 - 1, integer: true };
/** Options of a generation, by the name they have here. */
export const SETTINGS: Readonly<Record<string, Setting>> = {
  temp: { option: "temperature", low: 0, high: 100, default: "0.8", about: "0 always takes the likeliest token" },
  "top-p": {
    option: "topP",
    low: 0,
    above: true,
    high: 1,
    default: "0.9",
    about: "Choose among the likeliest tokens that together have this probability",
  },
  "top-k": { option: "topK", ...COUNT, default: "0", about: "Choose among this many tokens; 0 is no limit" },
  "repetition-penalty": {
    option: "repetitionPenalty",
    low: 0.01,
    high: 100,
    default: "1",
    about: "Make tokens less likely that were generated before; 1 is off",
  },
  "presence-penalty": {
    option: "presencePenalty",
    low: -100,
    high: 100,
    default: "0",
    about: "Subtract this from the logits of tokens generated before",
  },
  "frequency-penalty": {
    option: "frequencyPenalty",
    low: -100,
    high: 100,
    default: "0",
    about: "Subtract this for each time they were generated",
  },
  "max-tokens": { option: "maxTokens", ...COUNT, low: 1, default: "256", about: "Stop after this many tokens" },
};

const settingArgs = Object.fromEntries(
  Object.entries(SETTINGS).map(
    ([name, setting]) =>
      [
        name,
        {
          type: "string",
          valueHint: "n",
          default: setting.default,
          description: `${setting.about}: ${rangeText(setting)}`,
        },
      ] as const,
  ),
);

export const runCommand: CommandDef = {
  meta: { name: "run", description: "Continue a prompt" },
  args: {
    prompt: {
      type: "positional",
      required: false,
      description: `What the text starts with; else standard input, else "${PROMPT}"`,
    },
    model: {
      type: "string",
      valueHint: "model",
      description: `A file, a folder, an address, or hf:owner/repo/file (default: ${SHIPPED}, which comes with the package)`,
    },
    ...settingArgs,
    seed: {
      type: "string",
      valueHint: "n",
      description: "The same seed gives the same text: an integer below 2^64 (default: a new one)",
    },
    threads: {
      type: "string",
      valueHint: "n",
      default: "auto",
      description: "auto, or how many compute: an integer from 0 to 64; 0 is the main thread",
    },
    weights: {
      type: "string",
      valueHint: "type",
      description: `Convert the large matrices while loading: ${TYPES.join(", ")}`,
    },
    lora: {
      type: "string",
      valueHint: "file",
      description: "Merge this LoRA into the model: .pth or safetensors, as RWKV-PEFT writes them",
    },
    "lora-alpha": {
      type: "string",
      valueHint: "n",
      description: `The alpha it was trained with: ${rangeText(LORA["lora-alpha"])} (default: its rank)`,
    },
    "lora-strength": {
      type: "string",
      valueHint: "n",
      description: `How much of it counts: ${rangeText(LORA["lora-strength"])} (default: 1)`,
    },
    state: {
      type: "string",
      valueHint: "file",
      description: "Start from this tuned state: .pth or safetensors of time_state",
    },
  },
  run: ({ args }) => run(args as Arguments),
};

async function run(args: Arguments): Promise<void> {
  const options = generateOptions(args);
  const threads = threadsOf(args.threads!, "run");
  const weights = weightsOf(args.weights);
  const lora = loraOf(args);
  const words = wordsOf(args.prompt);
  const signal = interruption();
  const { load } = await import("../index.ts");

  const progress = new Progress("Loading");
  const where = args.model ?? shipped();
  const warnings: string[] = [];
  const onWarning = (warning: string) => void warnings.push(warning);
  const loading = load(where, { threads, weights, lora, sessions: 1, signal, onProgress: progress.update, onWarning });
  const model = await loading.finally(() => progress.end());
  for (const warning of warnings) warn(warning);
  try {
    const state = args.state === undefined ? undefined : await model.initialState(args.state, { signal });
    // Last of all: whoever still types must not have done so for a model that is not there.
    await tell(model, state, words ?? (await pipedPrompt(signal)), options, signal);
  } finally {
    await model.close();
  }
}

/** Writes the prompt and what follows it to stdout, then to stderr what it took. `state`: where to start from. */
async function tell(
  model: Model,
  state: Uint8Array | undefined,
  prompt: string,
  options: GenerateOptions,
  signal: AbortSignal,
): Promise<void> {
  const { stdout, stderr } = process;
  const shown = stdout.isTTY ? printable : (text: string) => text;
  const session = model.session(state);
  await session.feed(prompt, { signal });
  const started = performance.now();
  let tokens = 0;
  let end = "\n";
  const endLine = async () => {
    if (!end.endsWith("\n")) await write(stdout, "\n");
    end = "\n";
  };
  try {
    const generation = session.generate([], { ...options, signal });
    await write(stdout, dim(stdout, shown(prompt)));
    end = prompt;
    for await (const { text } of generation) {
      tokens++;
      if (text === "") continue;
      await write(stdout, shown(text));
      end = text;
    }
    ({ tokens } = await generation.result);
    await endLine();
  } catch (error) {
    // What is said about it starts on a line of its own, if the output still takes one.
    await endLine().catch(() => {});
    if (!signal.aborted) throw error;
  }
  const seconds = (performance.now() - started) / 1000;
  const speed = tokens > 0 ? ` at ${(tokens / seconds).toFixed(tokens < 10 * seconds ? 2 : 0)} per second` : "";
  stderr.write(`${tokens} token${tokens === 1 ? "" : "s"}${speed}, seed ${options.seed}\n`);
  signal.throwIfAborted();
}

function generateOptions(args: Arguments): GenerateOptions {
  const numbers = Object.entries(SETTINGS).map(([name, setting]) => [
    setting.option,
    numberOf("run", name, args[name]!, setting),
  ]);
  return { ...Object.fromEntries(numbers), seed: seedOf(args.seed) };
}

/** Chosen here if nobody did, so that it is known when the text is interrupted. 53 bits are easier to copy than 64. */
function seedOf(text: string | undefined): bigint {
  if (text === undefined) return crypto.getRandomValues(new BigUint64Array(1))[0]! >> 11n;
  if (/^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n) return BigInt(text);
  throw new UsageError(`--seed must be an integer from 0 to 2^64 - 1, not "${text}"`, "run");
}

function loraOf(args: Arguments): LoadOptions["lora"] {
  const [alpha, strength] = (["lora-alpha", "lora-strength"] as const).map((option) => {
    const text = args[option];
    if (text !== undefined && args.lora === undefined) throw new UsageError(`--${option} needs --lora`, "run");
    return text === undefined ? undefined : numberOf("run", option, text, LORA[option]);
  });
  return args.lora === undefined ? undefined : { source: args.lora, alpha, strength };
}

export function threadsOf(text: string, command: string): number | "auto" {
  if (text === "auto") return text;
  if (/^\d+$/.test(text) && Number(text) <= THREADS.high) return Number(text);
  throw new UsageError(`--threads must be auto or ${rangeText(THREADS)}, not "${text}"`, command);
}

function weightsOf(text: string | undefined): WeightType | undefined {
  const type = TYPES.find((one) => one === text);
  if (text === undefined || type) return type;
  throw new UsageError(`--weights must be one of ${TYPES.join(", ")}, not "${text}"`, "run");
}

/** The prompt from the command line, if there is one. */
function wordsOf(argument: string | undefined): string | undefined {
  // What the system hands over as bytes or half surrogates, Node has replaced by then: the text would be another one.
  if (argument?.includes("\ufffd"))
    throw new Error("the prompt is not UTF-8 text, or holds U+FFFD, which only standard input can bring");
  return argument;
}

/** What standard input brings, unless it is a terminal or empty; else the usual prompt. */
async function pipedPrompt(signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) return PROMPT;
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
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new Error("the prompt on standard input is not UTF-8 text");
  }
  // What echo and editors put at the end is not meant to be continued.
  return text.replace(/\r?\n$/, "") || PROMPT;
}
