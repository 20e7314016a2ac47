/** What `rwkv eval` reads: lines of JSON, checked, as tasks. */

import { isObject } from "./input.ts";

/** A text to be surprised by; a text whose last word is to be predicted; a question with choices. */
export type Task =
  | { readonly kind: "perplexity"; readonly text: string }
  | { readonly kind: "lambada"; readonly context: string; readonly word: string }
  | { readonly kind: "choice"; readonly prompt: string; readonly choices: readonly string[]; readonly answer: number };

export const KINDS = ["perplexity", "lambada", "choice"] as const satisfies Task["kind"][];
export type Kind = (typeof KINDS)[number];

/** Most choices of a question. */
const MOST_CHOICES = 100;

/**
 * The tasks of a file, each of the kind that was asked for, or that its fields say. Throws a sentence that names file and line.
 */
export function tasksOf(file: string, text: string, kind: Kind | undefined, most: number): Task[] {
  const tasks: Task[] = [];
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    if (tasks.length === most) break;
    try {
      tasks.push(taskOf(line, kind));
    } catch (error) {
      throw new Error(`${file}, line ${i + 1}: ${(error as Error).message}`, { cause: error });
    }
  }
  if (tasks.length === 0) throw new Error(`${file} holds no lines to evaluate`);
  return tasks;
}

function taskOf(line: string, kind: Kind | undefined): Task {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error("it is not JSON");
  }
  if (!isObject(value)) throw new Error("it is not a JSON object");
  switch (kind ?? ("choices" in value ? "choice" : "perplexity")) {
    case "perplexity":
      return { kind: "perplexity", text: textField(value, "text") };
    case "lambada":
      return lastWord(textField(value, "text"));
    case "choice":
      return question(value);
  }
}

function textField(value: Record<string, unknown>, name: string): string {
  return checkText(value[name], name);
}

function checkText(text: unknown, name: string): string {
  if (typeof text !== "string" || text === "") throw new Error(`"${name}" must be a text that is not empty`);
  if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text))
    throw new Error(`"${name}" holds half a surrogate pair`);
  return text;
}

/** The last word, with the space before it, is what is to be predicted. */
function lastWord(text: string): Task {
  const whole = text.trimEnd();
  const at = whole.search(/\s\S+$/);
  if (at <= 0) throw new Error('"text" must have at least two words, the last of which is predicted');
  return { kind: "lambada", context: whole.slice(0, at), word: whole.slice(at) };
}

function question(value: Record<string, unknown>): Task {
  const { choices, answer } = value;
  if (!Array.isArray(choices) || choices.length < 2 || choices.length > MOST_CHOICES)
    throw new Error(`"choices" must be an array of 2 to ${MOST_CHOICES} texts`);
  const texts = choices.map((choice, i) => checkText(choice, `choices[${i}]`));
  const prompt = "prompt" in value ? textField(value, "prompt") : `Question: ${textField(value, "question")}\nAnswer:`;
  const right = answerOf(answer, texts);
  if (right === undefined) {
    const last = texts.length - 1;
    throw new Error(`"answer" must be a number from 0 to ${last}, a letter from A, or one of the choices`);
  }
  // Words begin with a space, in most vocabularies' tokens too.
  const apart = /\s$/.test(prompt);
  return {
    kind: "choice",
    prompt,
    choices: texts.map((one) => (apart || /^\s/.test(one) ? one : ` ${one}`)),
    answer: right,
  };
}

function answerOf(answer: unknown, choices: readonly string[]): number | undefined {
  if (typeof answer === "string") {
    const same = choices.indexOf(answer);
    if (same >= 0) return same;
    return /^[A-Z]$/.test(answer) ? answerOf(answer.charCodeAt(0) - 65, choices) : undefined;
  }
  return Number.isInteger(answer) && (answer as number) >= 0 && (answer as number) < choices.length
    ? (answer as number)
    : undefined;
}
