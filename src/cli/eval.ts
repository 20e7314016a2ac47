/** `rwkv eval`: how good a model is, by texts and questions from a file. */

import type { Model } from "../index.ts";
import { type Command, type Given, numberOf, type Range, rangeText, UsageError } from "./arguments.ts";
import { readInput, textOf } from "./input.ts";
import { interruption } from "./interrupt.ts";
import { loadModel, modelArgs, modelOptions } from "./model.ts";
import { KINDS, type Task, tasksOf } from "./tasks.ts";
import { Progress, printable, write } from "./terminal.ts";

/** A file larger than this is something else. */
const FILE_BYTES = 512 << 20;
const LIMIT: Range = { low: 1, high: 2 ** 31 - 1, integer: true };
/** Lines that are worked on at a time: they share the engine's steps. The numbers do not depend on it. */
const LANES = 4;

export const evaluate: Command = {
  meta: { name: "eval", description: "Measure how good a model is" },
  args: {
    file: {
      type: "positional",
      description: 'Lines of JSON: {"text"}, or {"prompt" or "question", "choices", "answer"}',
    },
    ...modelArgs,
    task: {
      type: "string",
      valueHint: "word",
      description: `One of ${KINDS.join(", ")} (default: choice for lines with choices, perplexity for others)`,
    },
    limit: { type: "string", valueHint: "n", description: `Only so many lines, the first: ${rangeText(LIMIT)}` },
    json: { type: "boolean", description: "Write JSON" },
  },
  run: evaluateFile,
};

async function evaluateFile(given: Given): Promise<void> {
  const { values, switches } = given;
  const kind = KINDS.find((one) => one === values.task);
  if (values.task !== undefined && !kind)
    throw new UsageError(`--task must be one of ${KINDS.join(", ")}, not "${values.task}"`, "eval");
  const limit = values.limit === undefined ? LIMIT.high : numberOf("eval", "limit", values.limit, LIMIT);
  const loading = modelOptions("eval", given);
  const file = values.file!;
  // All lines are read before the model is: a mistake in the last one is told at once.
  const tasks = tasksOf(file, textOf(await readInput(file, "the file", FILE_BYTES), `the file ${file}`), kind, limit);
  const signal = interruption();
  const model = await loadModel(values.model, { ...loading, sessions: LANES }, signal);
  try {
    const progress = new Progress("Evaluating");
    const outcomes = await evaluateAll(model, tasks, signal, progress.update).finally(() => progress.end());
    const results = { model: model.info.name, file, ...summaryOf(outcomes) };
    const text = switches.has("json") ? JSON.stringify(results, null, 2) : linesOf(results).join("\n");
    await write(process.stdout, `${switches.has("json") && !process.stdout.isTTY ? text : printable(text)}\n`);
  } finally {
    await model.close();
  }
}

/** What came of a line. */
type Outcome =
  | { kind: "perplexity"; logprob: number; tokens: number; bytes: number }
  | { kind: "lambada"; right: boolean; logprob: number }
  | { kind: "choice"; right: boolean; rightPerByte: boolean };

async function evaluateAll(
  model: Model,
  tasks: readonly Task[],
  signal: AbortSignal,
  onProgress: (progress: { loaded: number; total: number }) => void,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let loaded = 0;
  const queue = tasks.entries();
  const lane = async () => {
    for (const [i, task] of queue) {
      signal.throwIfAborted();
      outcomes[i] = await outcomeOf(model, task, signal);
      onProgress({ loaded: ++loaded, total: tasks.length });
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return outcomes;
}

async function outcomeOf(model: Model, task: Task, signal: AbortSignal): Promise<Outcome> {
  switch (task.kind) {
    case "perplexity": {
      const { logprob, tokens } = await model.perplexity(task.text, { signal });
      return { kind: task.kind, logprob, tokens, bytes: scoredBytes(model, task.text) };
    }
    case "lambada": {
      const [score] = await model.score(task.context, [task.word], { signal });
      return { kind: task.kind, right: score!.greedy, logprob: score!.logprob };
    }
    case "choice": {
      const scores = await model.score(task.prompt, task.choices, { signal });
      const best = (numbers: readonly number[]) => numbers.indexOf(Math.max(...numbers));
      return {
        kind: task.kind,
        right: best(scores.map(({ logprob }) => logprob)) === task.answer,
        rightPerByte: best(scores.map(({ perByte }) => perByte!)) === task.answer,
      };
    }
  }
}

/** The bytes of a text that have a probability: all, or all but the first token's where no start token is before it. */
function scoredBytes({ tokenizer }: Model, text: string): number {
  const bytes = Buffer.byteLength(text);
  return tokenizer.bos === undefined ? bytes - tokenizer.bytes(tokenizer.encode(text)[0]!).length : bytes;
}

/** A share of right answers, and the standard error of that; absent for a single one. */
interface Accuracy {
  accuracy: number;
  standardError?: number;
}

interface Summary {
  perplexity?: { texts: number; tokens: number; bytes: number; perplexity: number; bitsPerByte: number };
  lambada?: Accuracy & { texts: number; perplexity: number };
  choice?: Accuracy & { questions: number; perByte: Accuracy };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function accuracyOf(right: readonly boolean[]): Accuracy {
  const n = right.length;
  const accuracy = right.filter(Boolean).length / n;
  return { accuracy, ...(n > 1 && { standardError: Math.sqrt((accuracy * (1 - accuracy)) / (n - 1)) }) };
}

function summaryOf(outcomes: readonly Outcome[]): Summary {
  const of = <K extends Outcome["kind"]>(kind: K) =>
    outcomes.filter((outcome): outcome is Extract<Outcome, { kind: K }> => outcome.kind === kind);
  const [texts, words, questions] = [of("perplexity"), of("lambada"), of("choice")];
  const summary: Summary = {};
  if (texts.length > 0) {
    const logprob = sum(texts.map((one) => one.logprob));
    const [tokens, bytes] = [sum(texts.map((one) => one.tokens)), sum(texts.map((one) => one.bytes))];
    const bitsPerByte = -logprob / Math.LN2 / bytes;
    summary.perplexity = { texts: texts.length, tokens, bytes, perplexity: Math.exp(-logprob / tokens), bitsPerByte };
  }
  if (words.length > 0) {
    const perplexity = Math.exp(-sum(words.map(({ logprob }) => logprob)) / words.length);
    summary.lambada = { texts: words.length, ...accuracyOf(words.map(({ right }) => right)), perplexity };
  }
  if (questions.length > 0) {
    summary.choice = {
      questions: questions.length,
      ...accuracyOf(questions.map(({ right }) => right)),
      perByte: accuracyOf(questions.map(({ rightPerByte }) => rightPerByte)),
    };
  }
  return summary;
}

function linesOf({ perplexity, lambada, choice }: Summary): string[] {
  const lines: string[] = [];
  const text = ({ accuracy, standardError }: Accuracy) =>
    accuracy.toFixed(4) + (standardError === undefined ? "" : ` ± ${standardError.toFixed(4)}`);
  if (perplexity) {
    const { perplexity: value, bitsPerByte, tokens, texts } = perplexity;
    lines.push(
      `perplexity  ${value.toFixed(4)}, ${bitsPerByte.toFixed(4)} bits per byte; ${texts} texts, ${tokens} tokens`,
    );
  }
  if (lambada)
    lines.push(
      `lambada     ${text(lambada)} right, perplexity of the words ${lambada.perplexity.toFixed(4)}; ${lambada.texts} texts`,
    );
  if (choice)
    lines.push(
      `choice      ${text(choice)} right, ${text(choice.perByte)} by probability per byte; ${choice.questions} questions`,
    );
  return lines;
}
