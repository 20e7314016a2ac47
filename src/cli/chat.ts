/** `rwkv chat`: a conversation in a terminal, or with a script. */

import type { ChatOptions } from "../index.ts";
import { type Command, type Given, UsageError } from "./arguments.ts";
import { readInput, textOf } from "./input.ts";
import { Interrupted, onInterrupt, SIGINT } from "./interrupt.ts";
import { Lines } from "./lines.ts";
import { loadModel, modelArgs, modelOptions } from "./model.ts";
import { optionArgs, settingsOf } from "./sampling.ts";
import { COMMANDS, SAVED_BYTES, Talk } from "./talk.ts";

export const THINK = ["none", "skip", "short", "normal", "long"] satisfies ChatOptions["think"][];
/** Far more than templates take. */
const TEMPLATE_BYTES = 1 << 20;
/** Places for what a conversation can go back to, and for another one that takes its place. */
const SESSIONS = 12;

export const chat: Command = {
  meta: { name: "chat", description: "Talk with a model" },
  args: {
    ...modelArgs,
    system: { type: "string", valueHint: "text", description: "What the assistant is told before the conversation" },
    think: {
      type: "string",
      valueHint: "word",
      description: `Whether it thinks before it answers: ${THINK.join(", ")} (default: none)`,
    },
    template: {
      type: "string",
      valueHint: "file",
      description:
        "How a conversation becomes text: rwkv-world, or a file in Jinja (default: what the model's file says)",
    },
    load: { type: "string", valueHint: "file", description: "Go on with a conversation that /save wrote" },
    ...optionArgs,
  },
  run: talk,
};

async function talk(given: Given): Promise<void> {
  const { values } = given;
  const settings = await settingsOf("chat", given);
  const loading = modelOptions("chat", given);
  const think = THINK.find((one) => one === values.think);
  if (values.think !== undefined && !think)
    throw new UsageError(`--think must be one of ${THINK.join(", ")}, not "${values.think}"`, "chat");
  if (values.load !== undefined && values.system !== undefined)
    throw new UsageError("--load and --system exclude each other: a saved conversation has its own", "chat");
  const template = await templateOf(values.template);
  const saved = values.load === undefined ? undefined : await readInput(values.load, "the conversation", SAVED_BYTES);

  const ending = new AbortController();
  let stop = (signal: number) => ending.abort(new Interrupted(signal));
  onInterrupt((signal) => {
    if (ending.signal.aborted) process.exit(128 + signal);
    stop(signal);
  });
  const model = await loadModel(values.model, { ...loading, sessions: SESSIONS }, ending.signal);
  try {
    const options = { template, think };
    const asked = model.chat({ ...options, ...(saved ? { saved } : { system: values.system }) });
    const opened = await asked.catch((error: Error) => {
      if (template !== undefined) {
        error.message = error.message.replace("chat template cannot", () => `chat template ${values.template} cannot`);
      }
      throw error;
    });
    const lines = new Lines(Object.keys(COMMANDS).map((name) => `/${name}`));
    const talk = new Talk(model, opened, options, settings, lines, values.model === undefined);
    stop = (signal) => {
      if (signal !== SIGINT) process.exit(128 + signal);
      talk.interrupt();
    };
    try {
      await talk.run();
    } finally {
      lines.close();
    }
  } finally {
    await model.close();
  }
}

async function templateOf(value: string | undefined): Promise<string | undefined> {
  if (value === undefined || value === "rwkv-world") return value;
  const text = textOf(await readInput(value, "the template", TEMPLATE_BYTES), `the template ${value}`);
  if (!/\{[{%]/.test(text)) throw new Error(`the template ${value} is not in Jinja: it has neither {{ nor {%`);
  return text;
}
