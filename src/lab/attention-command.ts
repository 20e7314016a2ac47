/** `rwkv lab attention`: which earlier tokens a layer's output is made of, in a text or in a task whose answer is known. */

import { type Command, type Given, numberOf, type Range, rangeText, UsageError } from "../cli/arguments.ts";
import { readInput, textOf } from "../cli/input.ts";
import { interruption } from "../cli/interrupt.ts";
import { modelArgs } from "../cli/model.ts";
import { shipped } from "../cli/shipped.ts";
import { columns } from "../cli/table.ts";
import { Progress, write } from "../cli/terminal.ts";
import { platform } from "../platform/node.ts";
import { attentionOf, type Glance, GROUPS, glances, type LayerAttention } from "./attention.ts";
import { heatMaps } from "./chart.ts";
import { heatLines, markedText, type Screen, screenOf } from "./heat-text.ts";
import { openModel, scansOf, wordOf } from "./opened.ts";
import { outputArgs, outputOf } from "./output.ts";
import { idsOf, sourcesOf, TASKS, type Task, TOY_VERSIONS, toyModel, WORDS } from "./toy.ts";

/** A text in which people have to be remembered: at a sentence's end, whoever the next one may be about. */
const STORY =
  "One day, a man came to the house with a little box of tools. A girl opened the door. She looked at the box. The man smiled and took out a small hammer. He fixed the old chair.";
/** A text takes weights of tokens x tokens in every head. */
const MOST_TOKENS = 512;
const TEXT_BYTES = 1 << 20;
const PLACE: Range = { low: 0, high: 100_000, integer: true };
const DISTANCE: Range = { low: 1, high: 511, integer: true };
/** Looks back that are listed. */
const LISTED = 8;
/** The first tokens of a text do not count in the search: as hardly anything came before, they are looked at by all. */
const WARM_UP = 8;

export const attention: Command = {
  meta: { name: "lab attention", description: "Show which earlier tokens the output is made of" },
  args: {
    model: modelArgs.model!,
    text: { type: "string", valueHint: "text", description: "The text to read (default: a few sentences of a story)" },
    file: {
      type: "string",
      valueHint: "file",
      description: `The same from a file; at most ${MOST_TOKENS} tokens count`,
    },
    task: {
      type: "string",
      valueHint: "name",
      description: `Instead of a model and a text, a task with a known answer, in all versions: ${TASKS.map(({ name }) => name).join(", ")}`,
    },
    layer: {
      type: "string",
      valueHint: "n",
      description: "Show this layer, counted from 0 (default: the sharpest look)",
    },
    head: {
      type: "string",
      valueHint: "n",
      description: "Show this head; in version 4 a quarter of the channels, by decay",
    },
    token: { type: "string", valueHint: "n", description: "Show what this token looks at, counted from 0" },
    distance: {
      type: "string",
      valueHint: "n",
      default: "6",
      description: `Look for sharp looks back over at least so many tokens: ${rangeText(DISTANCE)}`,
    },
    ...outputArgs,
  },
  run: show,
};

async function show(given: Given): Promise<void> {
  const { values } = given;
  const place = (option: "layer" | "head" | "token") =>
    values[option] === undefined ? undefined : numberOf("lab attention", option, values[option], PLACE);
  const wanted = { layer: place("layer"), head: place("head"), token: place("token") };
  const distance = numberOf("lab attention", "distance", values.distance!, DISTANCE);
  if (values.text !== undefined && values.file !== undefined)
    throw new UsageError("--text and --file exclude each other", "lab attention");
  const task = TASKS.find(({ name }) => name === values.task);
  if (values.task !== undefined && !task)
    throw new UsageError(`--task must be one of ${TASKS.map(({ name }) => name).join(", ")}`, "lab attention");
  if (task && (values.model ?? values.text ?? values.file ?? values.layer ?? values.head ?? values.token) !== undefined)
    throw new UsageError("--task has models and a text of its own, and shows all of them", "lab attention");
  const put = await outputOf(given);
  const signal = interruption();
  const screen = screenOf(process.stdout);
  if (task) return await showTask(task, screen, put);

  const text =
    values.file === undefined
      ? (values.text ?? STORY)
      : textOf(await readInput(values.file, "the text", TEXT_BYTES), `the file ${values.file}`);
  if (text === "") throw new Error("the text is empty: there is nothing to read");
  const model = await openModel(platform, values.model ?? shipped(), signal);
  if (!model.tokenizer) throw new Error("the model has no tokenizer, so it cannot read a text");
  const { bos } = model.tokenizer;
  const ids = [...(bos === undefined ? [] : [bos]), ...model.tokenizer.encode(text)].slice(0, MOST_TOKENS);
  const words = ids.map((id) => wordOf(model.tokenizer, id));
  const { config } = model;
  const progress = new Progress("Reading");
  const scans = await scansOf(model, ids, async (loaded) => {
    progress.update({ loaded, total: ids.length });
    await platform.breathe();
    signal.throwIfAborted();
  }).finally(() => progress.end());
  const layers = scans.map((scan) => attentionOf(config, scan));
  const error = Math.max(...layers.map((layer) => layer.error));
  const found = glances(layers, distance, Math.min(WARM_UP, Math.floor(ids.length / 4)));
  const { layer, head, from } = chosen(layers, wanted, found, ids.length);
  const map = layers[layer].heads[head];
  const row = (t: number) => map.shares.subarray(t * ids.length, (t + 1) * ids.length);
  const unit = config.version === "4" ? `quarter ${head} of the channels, of ${GROUPS} by decay` : `head ${head}`;
  const title = `RWKV-${config.version} ${model.name}: layer ${layer}, ${unit}`;

  const lines = [
    `${model.name}, RWKV-${config.version}, ${config.layers} layers; ${ids.length} tokens`,
    `Weights times values give the recurrence's outputs again, to ${error.toExponential(1)} of the largest`,
    "",
    `The sharpest looks back over ${distance} tokens or more, one of each head: shares of an output, in %`,
    ...tableOf(found.slice(0, LISTED), words),
    "",
    `What token ${from} is made of, in layer ${layer}, ${unit}: shares in %, and with a minus where the value is taken away`,
  ];
  const json = { model: model.name, version: config.version, tokens: ids.map((id, i) => ({ id, text: words[i] })) };
  await put({
    lines,
    json: {
      ...json,
      error,
      sharpest: found,
      layers: layers.map(({ heads }) => ({
        heads: heads.map((one) => ({
          weights: rowsOf(one.weights, ids.length),
          shares: rowsOf(one.shares, ids.length),
        })),
      })),
    },
    svg: () =>
      heatMaps([{ title: "", ...panelOf(words, (t) => row(t).map(Math.abs)) }], {
        title,
        note: "Rows: the token that looks. Columns: the token that is looked at. Colours: its share of the output",
        low: 0,
        high: 0.5,
        width: 140 + 14 * ids.length,
        height: 140 + 14 * ids.length,
        everyWord: true,
      }),
  });
  const picture = [...markedText(words, row(from), from, screen), "", ...heatLines(words, row, screen)];
  await write(process.stdout, `${picture.join("\n")}\n`);
}

function chosen(
  layers: readonly LayerAttention[],
  wanted: { layer?: number; head?: number; token?: number },
  found: readonly Glance[],
  tokens: number,
): { layer: number; head: number; from: number } {
  const beyond = (option: string, count: number) =>
    new UsageError(`--${option} must be ${rangeText({ low: 0, high: count - 1, integer: true })}`, "lab attention");
  const { layer, head, token } = wanted;
  if (layer !== undefined && layer >= layers.length) throw beyond("layer", layers.length);
  if (head !== undefined && head >= layers[0].heads.length) throw beyond("head", layers[0].heads.length);
  if (token !== undefined && token >= tokens) throw beyond("token", tokens);
  const best = found.find((one) => (layer ?? one.layer) === one.layer && (head ?? one.head) === one.head);
  return {
    layer: layer ?? best?.layer ?? 0,
    head: head ?? best?.head ?? 0,
    from: token ?? best?.from ?? tokens - 1,
  };
}

function tableOf(found: readonly Glance[], words: readonly string[]): string[] {
  const around = (i: number, before: number) => words.slice(Math.max(0, i - before), i + 1).join("");
  const rows = found.map(({ layer, head, from, to, share }) => [
    String(layer),
    String(head),
    (share * 100).toFixed(0),
    String(from - to),
    `…${around(from, 4)}`,
    `…${around(to, 2)}`,
    words[from + 1] ?? "",
  ]);
  return columns([["layer", "head", "share", "back", "at", "looks at", "next"], ...rows], [4, 5, 6]);
}

/** The lower triangle, in four digits. */
const rowsOf = (numbers: Float64Array, tokens: number): number[][] =>
  Array.from({ length: tokens }, (_, t) =>
    Array.from(numbers.subarray(t * tokens, t * tokens + t + 1), (n) => Number(n.toPrecision(4))),
  );

const panelOf = (words: readonly string[], row: (t: number) => ArrayLike<number>) => ({
  rows: [...words],
  columns: [...words],
  values: words.map((_, t) => words.map((_, i) => (i <= t ? row(t)[i] : Number.NaN))),
});

async function showTask(task: Task, screen: Screen, put: Awaited<ReturnType<typeof outputOf>>): Promise<void> {
  const ids = idsOf(task);
  const { words } = task;
  const T = ids.length;
  const results: { version: string; error: number; weights: Float64Array; answers: string[] }[] = [];
  for (const version of TOY_VERSIONS) {
    const model = await openModel(platform, await toyModel(version));
    const { heads, error } = attentionOf(model.config, (await scansOf(model, ids))[0]);
    // Version 4's quarters of the channels look alike: their mean stands for them.
    const weights = heads[0].weights.map((_, i) =>
      heads.reduce((sum, head) => sum + head.weights[i] / heads.length, 0),
    );
    results.push({ version, error, weights, answers: await answersOf(await toyModel(version), ids) });
  }
  const asking = words.flatMap((_, t) => (sourcesOf(ids, t).length > 0 ? [t] : []));
  const table = asking.map((t) => {
    const sources = sourcesOf(ids, t);
    return [
      `${words.slice(Math.max(0, t - 3), t).join("")}[${words[t]}]`,
      sources.map((i) => `${words[i]} at ${i}`).join(", "),
      ...results.map(({ weights, answers }) => {
        const found = sources.map((i) => weights[t * T + i].toFixed(2)).join(", ");
        return `${found}: ${answers[t]}`;
      }),
    ];
  });
  const heading = ["at", "followed before by", ...TOY_VERSIONS.map((version) => `RWKV-${version}`)];
  await put({
    lines: [
      `${task.name}: ${task.what}: ${words.join(" ")}`,
      "One layer with weights set by hand: a token's value is stored under the token before it, and asked for by its likes",
      "",
      "Weights of what is to be found, and what the whole model, run by the engine, then says:",
      ...columns([heading, ...table], [0, 1, 2, 3, 4, 5]),
      "",
    ],
    json: {
      task: task.name,
      words,
      versions: results.map(({ version, error, weights, answers }) => ({
        version,
        error,
        weights: rowsOf(weights, T),
        answers,
      })),
    },
    svg: () =>
      heatMaps(
        results.map(({ version, weights }) => ({
          title: `RWKV-${version}`,
          ...panelOf(words, (t) => weights.subarray(t * T, (t + 1) * T)),
        })),
        {
          title: `${task.name}: ${task.what}`,
          note: "Rows: the token that looks. Columns: the token that is looked at. Weights of its value",
          low: 0,
          high: 1,
          across: 2,
        },
      ),
  });
  for (const { version, weights } of results) {
    const map = heatLines(words, (t) => weights.subarray(t * T, (t + 1) * T), screen);
    await write(process.stdout, `RWKV-${version}\n${map.join("\n")}\n\n`);
  }
}

/** Logits that differ by less are equal but for rounding. */
const TIE = 1e-3;

/** What the engine says after each token, all words that are as likely as the likeliest: the model in the program that everybody uses. */
async function answersOf(model: Uint8Array<ArrayBuffer>, ids: readonly number[]): Promise<string[]> {
  const { load } = await import("../index.ts");
  const loaded = await load(model, { threads: 0 });
  try {
    return (await loaded.forward(ids)).map((logits) => {
      const top = Math.max(...logits);
      return WORDS.filter((_, id) => logits[id] > top - TIE).join(" or ");
    });
  } finally {
    await loaded.close();
  }
}
