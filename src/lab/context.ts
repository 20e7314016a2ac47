/** `rwkv lab context`: one very long stream through a model: does a token cost the same at its end, and does the state stay sound? */

import { type Command, type Given, numberOf, type Range, rangeText } from "../cli/arguments.ts";
import { interruption } from "../cli/interrupt.ts";
import { loadModel, modelArgs, modelOptions } from "../cli/model.ts";
import { columns } from "../cli/table.ts";
import { Progress } from "../cli/terminal.ts";
import type { Session } from "../index.ts";
import { lineCharts } from "./chart.ts";
import { fillerOf } from "./filler.ts";
import { machine, machineText } from "./machine.ts";
import { digits, grouped, median } from "./numbers.ts";
import { outputArgs, outputOf } from "./output.ts";
import { isMemory, norm, statePartsOf } from "./state-parts.ts";

const NAME = "lab context";
const TOKENS: Range = { low: 10_000, high: 1e9, integer: true };
/** The stream is cut into so many pieces, which are timed one by one. */
const PIECES = 100;
/** Of them, how many count as its start, and as its end. */
const EDGE = 20;
/**
 * Tokens of text that the model writes; the stream repeats them. A prime, so that pieces end at ever other places of the text, and the
 * state is not looked at after the same words again and again.
 */
const TEXT = 19_997;
const SEED = 1;
/** At the end, start and end are compared in turn, so often, with so many tokens. */
const ROUNDS = 51;
const DUEL = 1000;
const MIB = 2 ** 20;

export const context: Command = {
  meta: { name: NAME, description: "Read one very long text: time, memory and state along it" },
  args: {
    ...modelArgs,
    tokens: { type: "string", valueHint: "n", default: "1000000", description: `How long it is: ${rangeText(TOKENS)}` },
    ...outputArgs,
  },
  run: stream,
};

/** What was seen after one piece. */
interface Piece {
  tokens: number;
  tokensPerSecond: number;
  /** Of the process, MiB. */
  residentMiB: number;
  /** The length of all recurrent state as one vector, and of each layer's. */
  norm: number;
  layers: number[];
  /** Whether the state and the logits are numbers. */
  finite: boolean;
}

async function stream(given: Given): Promise<void> {
  const total = numberOf(NAME, "tokens", given.values.tokens!, TOKENS);
  const options = modelOptions(NAME, given);
  const put = await outputOf(given);
  const signal = interruption();
  const model = await loadModel(given.values.model, { ...options, sessions: 16 }, signal);
  const progress = new Progress("Reading");
  try {
    const text = await fillerOf(model, Math.min(TEXT, total), SEED, { signal });
    const size = Math.floor(total / PIECES);
    const piece = (from: number) => Uint32Array.from({ length: size }, (_, i) => text[(from + i) % text.length]);
    const warm = model.session();
    await warm.feed(text.subarray(0, 2000), { signal });
    await warm.close();

    const session = model.session();
    const pieces: Piece[] = [];
    let seconds = 0;
    for (let i = 0; i < PIECES; i++) {
      const tokens = piece(i * size);
      const started = performance.now();
      await session.feed(tokens, { signal });
      const took = (performance.now() - started) / 1000;
      seconds += took;
      const parts = [...statePartsOf(await session.save())].filter(([name]) => isMemory(name));
      const layers = Array.from({ length: model.info.layers }, (_, layer) =>
        Math.hypot(
          ...parts.flatMap(([name, { numbers }]) => (name.startsWith(`blocks.${layer}.`) ? [norm(numbers)] : [])),
        ),
      );
      const fork = session.fork();
      const [logits] = await fork.forward(tokens.subarray(0, 1), { signal });
      await fork.close();
      const size_ = Math.hypot(...layers);
      pieces.push({
        tokens: session.position,
        tokensPerSecond: tokens.length / took,
        residentMiB: process.memoryUsage.rss() / MIB,
        norm: size_,
        layers,
        finite: Number.isFinite(size_) && logits.every(Number.isFinite),
      });
      progress.update({ loaded: i + 1, total: PIECES });
    }
    // Whatever else the machine does meanwhile hits both alike: the same tokens, in turn, behind the stream and at a text's beginning.
    const fresh = model.session();
    const timed = async (from: Session) => {
      const fork = from.fork();
      const started = performance.now();
      await fork.feed(text.subarray(0, DUEL), { signal });
      const took = performance.now() - started;
      await fork.close();
      return took;
    };
    const ratios: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const [first, second] = i % 2 === 0 ? [fresh, session] : [session, fresh];
      const [a, b] = [await timed(first), await timed(second)];
      ratios.push(i % 2 === 0 ? a / b : b / a);
    }
    await fresh.close();
    await session.close();
    progress.end();
    const findings = { ...summaryOf(pieces, seconds), inTurn: median(ratios) - 1 };
    const where = machine();
    const { name, version, threads, memory, stateBytes } = model.info;
    await put({
      lines: [
        `${name}, RWKV-${version}, ${threads} threads; ${machineText(where)}`,
        "",
        ...columns([
          ["tokens", grouped(findings.tokens)],
          ["seconds", digits(seconds)],
          [`tokens/s, median of the first ${EDGE} %`, digits(findings.start)],
          [`tokens/s, median of the last ${EDGE} %`, digits(findings.end)],
          [`speed behind the stream against a new text's, ${ROUNDS} times in turn`, percent(findings.inTurn)],
          ["memory of the engine, fixed when it starts", `${(memory / MIB).toFixed(1)} MiB`],
          ["of that, a session's state", `${(stateBytes / 1024).toFixed(0)} KiB`],
          [
            "memory of the process, after the first piece and at the end",
            findings.resident.map((n) => `${n.toFixed(1)} MiB`).join(", "),
          ],
          ["length of the state, least and most", findings.norms.map(digits).join(", ")],
          ["all numbers finite", findings.finite ? "yes" : "NO"],
        ]),
      ],
      json: { model: name, version, threads, machine: where, memory, stateBytes, seconds, ...findings, pieces },
      svg: () => {
        const line = (name: string, y: (piece: Piece) => number) => ({
          name,
          points: pieces.map((piece): [number, number] => [piece.tokens, y(piece)]),
        });
        const x = { name: "tokens read", min: 0 };
        return lineCharts(
          [
            {
              title: "Speed",
              x,
              y: { name: "tokens per second", min: 0 },
              lines: [line("speed", (one) => one.tokensPerSecond)],
            },
            {
              title: "Memory of the process",
              x,
              y: { name: "MiB", min: 0 },
              lines: [line("memory", (one) => one.residentMiB)],
            },
            {
              title: "Length of the state",
              x,
              y: { name: "norm", min: 0 },
              lines: pieces[0].layers.map((_, layer) => line(`layer ${layer}`, (one) => one.layers[layer])),
            },
          ],
          { title: `${grouped(findings.tokens)} tokens through ${name}`, width: 400 },
        );
      },
    });
  } finally {
    progress.end();
    await model.close();
  }
}

const percent = (share: number): string => `${share >= 0 ? "+" : ""}${(share * 100).toFixed(1)} %`;

function summaryOf(pieces: readonly Piece[], seconds: number) {
  const rate = (some: readonly Piece[]) => median(some.map(({ tokensPerSecond }) => tokensPerSecond));
  const [start, end] = [rate(pieces.slice(0, EDGE)), rate(pieces.slice(-EDGE))];
  const norms = pieces.map((piece) => piece.norm);
  return {
    tokens: pieces.at(-1)!.tokens,
    tokensPerSecond: pieces.at(-1)!.tokens / seconds,
    start,
    end,
    resident: [pieces[0].residentMiB, pieces.at(-1)!.residentMiB],
    norms: [Math.min(...norms), Math.max(...norms)],
    finite: pieces.every(({ finite }) => finite),
  };
}
