/** `rwkv lab state`: what the recurrent state does along a text, and how long it holds on to a fact. */

import { type Command, type Given, numberOf, type Range, rangeText, UsageError } from "../cli/arguments.ts";
import { readInput, textOf } from "../cli/input.ts";
import { interruption } from "../cli/interrupt.ts";
import { loadModel, modelArgs, modelOptions } from "../cli/model.ts";
import { shipped } from "../cli/shipped.ts";
import { columns } from "../cli/table.ts";
import { Progress } from "../cli/terminal.ts";
import type { Model } from "../index.ts";
import { platform } from "../platform/node.ts";
import { lineCharts } from "./chart.ts";
import { fillerOf } from "./filler.ts";
import { NEEDLES, type Needle, needlesAlong } from "./needle.ts";
import { digits, grouped } from "./numbers.ts";
import { openModel } from "./opened.ts";
import { outputArgs, outputOf } from "./output.ts";
import { Reference } from "./reference.ts";
import { effectiveRank, singularValues } from "./spectrum.ts";
import { norm } from "./state-parts.ts";

const NAME = "lab state";
const TOKENS: Range = { low: 8, high: 4096, integer: true };
const FAR: Range = { low: 1, high: 1_000_000, integer: true };
const SEED = 1;
const TEXT_BYTES = 1 << 20;
/** Places along the text at which the state is looked at. */
const LOOKS = 32;

export const state: Command = {
  meta: { name: NAME, description: "What the state does along a text, and how long it holds on to a fact" },
  args: {
    ...modelArgs,
    file: { type: "string", valueHint: "file", description: "The text to read (default: one that the model writes)" },
    tokens: { type: "string", valueHint: "n", default: "512", description: `How much of it: ${rangeText(TOKENS)}` },
    needle: { type: "boolean", description: "Instead, plant facts, read on, and ask for them" },
    far: {
      type: "string",
      valueHint: "n",
      default: "10000",
      description: `With --needle: the longest distance in tokens: ${rangeText(FAR)}`,
    },
    ...outputArgs,
  },
  run: look,
};

async function look(given: Given): Promise<void> {
  const { values, switches } = given;
  const tokens = numberOf(NAME, "tokens", values.tokens!, TOKENS);
  const far = numberOf(NAME, "far", values.far!, FAR);
  if (switches.has("needle") && values.file !== undefined)
    throw new UsageError("--needle reads what the model writes, no --file", NAME);
  const options = modelOptions(NAME, given);
  const put = await outputOf(given);
  const signal = interruption();
  const text =
    values.file === undefined
      ? undefined
      : textOf(await readInput(values.file, "the text", TEXT_BYTES), `the file ${values.file}`);
  const model = await loadModel(values.model, { ...options, sessions: 32 }, signal);
  const progress = new Progress("Reading");
  try {
    if (switches.has("needle")) {
      const found = await needlesAlong(model, far, signal, progress.update);
      progress.end();
      return await put(findingsOf(model, found));
    }
    const ids = text === undefined ? await fillerOf(model, tokens, SEED, { signal }) : model.tokenizer.encode(text);
    if (ids.length === 0) throw new Error("the text is empty: there is nothing to read");
    const begun = [...(model.tokenizer.bos === undefined ? [] : [model.tokenizer.bos]), ...ids].slice(0, tokens);
    const opened = await openModel(platform, values.model ?? shipped(), signal);
    const { config } = opened;
    const reference = new Reference(opened.weights, config);
    const heads = config.version === "4" ? 1 : config.heads;
    // Sums of the decays' logarithms, by layer and channel.
    const decays = Array.from({ length: config.layers }, () => new Float64Array(config.width));
    const every = Math.max(1, Math.floor(begun.length / LOOKS));
    const looks: Look[] = [];
    for (const [i, id] of begun.entries()) {
      reference.step(id, (layer, { decay }) => {
        // Version 4's are logarithms.
        for (let c = 0; c < decay.length; c++)
          decays[layer][c] += config.version === "4" ? decay[c] : Math.log(decay[c]);
      });
      if ((i + 1) % every !== 0 && i !== begun.length - 1) continue;
      looks.push({ tokens: i + 1, layers: reference.state.map((layer) => headsOf(layer, config.headSize, heads)) });
      progress.update({ loaded: i + 1, total: begun.length });
      await platform.breathe();
      signal.throwIfAborted();
    }
    progress.end();
    // Channels that never fade have no half-life.
    const halfLives = decays.map((sums) =>
      Array.from({ length: heads }, (_, head) => {
        const size = config.width / heads;
        const lives = Array.from(
          sums.subarray(head * size, (head + 1) * size),
          (sum) => (Math.LN2 * begun.length) / -sum,
        ).sort((a, b) => a - b);
        return { least: lives[0], median: lives[size >> 1], most: lives.at(-1)! };
      }),
    );
    const last = looks.at(-1)!;
    const rows = last.layers.flatMap((layer, i) =>
      layer.map(({ norm, rank }, head) => {
        const { least, median, most } = halfLives[i][head];
        return [
          `${i}`,
          `${head}`,
          digits(norm),
          Number.isNaN(rank) ? "" : rank.toFixed(1),
          digits(least),
          digits(median),
          digits(most),
        ];
      }),
    );
    const { name, version, stateBytes } = model.info;
    await put({
      lines: [
        `${name}, RWKV-${version}: a state of ${(stateBytes / 1024).toFixed(0)} KiB, whatever the length of the text`,
        `After ${begun.length} tokens, by layer and head; half-lives in tokens, of the quickest, the middle and the slowest channel`,
        "",
        ...columns([["layer", "head", "norm", "rank", "quickest", "middle", "slowest"], ...rows]),
      ],
      json: { model: name, version, stateBytes, tokens: begun.length, looks, halfLives },
      svg: () => {
        const line = (layer: number, y: (head: HeadState) => number) => ({
          name: `layer ${layer}`,
          points: looks.map((one): [number, number] => {
            const values = one.layers[layer].map(y);
            return [one.tokens, values.reduce((sum, n) => sum + n, 0) / values.length];
          }),
        });
        const x = { name: "tokens read", min: 0 };
        const lines = (y: (head: HeadState) => number) => last.layers.map((_, layer) => line(layer, y));
        return lineCharts(
          [
            {
              title: "Norm of the state, mean of the heads",
              x,
              y: { name: "norm", min: 0 },
              lines: lines((one) => one.norm),
            },
            ...(version === "4"
              ? []
              : [
                  {
                    title: `Effective rank, of ${config.headSize}, mean of the heads`,
                    x,
                    y: { name: "rank", min: 0 },
                    lines: lines((one) => one.rank),
                  },
                ]),
          ],
          { title: `The state of ${name} along a text` },
        );
      },
    });
  } finally {
    progress.end();
    await model.close();
  }
}

interface HeadState {
  norm: number;
  /** Not a number in version 4, which has no matrices. */
  rank: number;
}

/** All layers' heads after so many tokens. */
interface Look {
  tokens: number;
  layers: HeadState[][];
}

function headsOf(
  layer: { S: Float64Array; aa: Float64Array; bb: Float64Array },
  N: number,
  heads: number,
): HeadState[] {
  // Version 4 keeps sums: their quotient is the average that it remembers.
  if (layer.S.length === 0) return [{ norm: norm(layer.aa.map((n, c) => n / layer.bb[c])), rank: Number.NaN }];
  return Array.from({ length: heads }, (_, head) => {
    const S = layer.S.subarray(head * N * N, (head + 1) * N * N);
    return { norm: norm(S), rank: effectiveRank(singularValues(S, N)) };
  });
}

function findingsOf(model: Model, found: readonly Needle[]) {
  const { name, version } = model.info;
  const rows = found.map(({ distance, gain, error, right }) => [
    grouped(distance),
    `${gain.toFixed(2)} ± ${error.toFixed(2)}`,
    `${right} of ${NEEDLES}`,
  ]);
  return {
    lines: [
      `${name}, RWKV-${version}: ${NEEDLES} facts, each planted in a text of its own, and asked for after a distance`,
      "Gain: how much likelier the fact's word is than in the texts with other facts, in nats; found: it is the likeliest of all",
      "",
      ...columns([["distance", "gain", "found"], ...rows], []),
    ],
    json: { model: name, version, facts: NEEDLES, found },
    svg: () =>
      lineCharts(
        [
          {
            title: "Gain of the planted word",
            x: { name: "tokens between the fact and the question", log: true },
            y: { name: "nats" },
            lines: [{ name: "gain", points: found.map(({ distance, gain }) => [distance, gain]) }],
          },
          {
            title: `Facts found, of ${NEEDLES}; ${1} by chance`,
            x: { name: "tokens between the fact and the question", log: true },
            y: { name: "facts", min: 0, max: NEEDLES },
            lines: [{ name: "found", points: found.map(({ distance, right }) => [distance, right]) }],
          },
        ],
        { title: `How long ${name} holds on to a fact` },
      ),
  };
}
