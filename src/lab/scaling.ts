/**
 * `rwkv lab scaling`: linear against quadratic. RWKV's versions and a Transformer of the same width, depth and channel mixing, with random
 * weights, on the same kernels, threads and chunks: how time and memory grow along a text. docs/lab/scaling.md is the user's side.
 */

import { type Command, type Given, listOf, numberOf, type Range, UsageError } from "../cli/arguments.ts";
import { interruption } from "../cli/interrupt.ts";
import { threadsOf } from "../cli/model.ts";
import { columns } from "../cli/table.ts";
import { Progress } from "../cli/terminal.ts";
import { TARGET_TYPES } from "../engine/weight-types.ts";
import { type Along, along, BEYOND, marksTo, PHASES, type Phase } from "./along.ts";
import { loadInMemory } from "./engine.ts";
import { crossing, type Point, type Power, powerFit, type Quadratic, quadraticFit } from "./fit.ts";
import { type Machine, machine, machineText } from "./machine.ts";
import { digits, grouped } from "./numbers.ts";
import { earlierRuns, isNumber, outputArgs, outputOf, withArg } from "./output.ts";
import { HEAD_SIZE, type Kind, synthetic, VERSIONS } from "./synthetic.ts";
import { cacheBytes } from "./transformer.ts";

const NAME = "lab scaling";
const KINDS: readonly Kind[] = [...VERSIONS, "transformer"];
const MOST_TOKENS: Range = { low: 100, high: 10_000_000, integer: true };
const BUDGET: Range = { low: 1, high: 86_400 };
const LAYERS: Range = { low: 1, high: 32, integer: true };
const WIDTH: Range = { low: 64, high: 2048, integer: true };
const VOCAB = 4096;
/** Bytes that keys and values may take: with the weights they have to fit into 4 GiB. */
const MOST_CACHE = 3 * 2 ** 30;
/** From this length on exponents are fitted: before, what a step costs by itself counts for more than its tokens. */
const FIT_FROM = 1000;

export const scaling: Command = {
  meta: { name: NAME, description: "How time and memory grow along a text: RWKV's versions and a Transformer" },
  args: {
    models: {
      type: "string",
      valueHint: "list",
      default: KINDS.join(),
      description: `Which are measured, with commas between them: ${KINDS.join(", ")}`,
    },
    phases: {
      type: "string",
      valueHint: "list",
      default: PHASES.join(),
      description: "Reading a text, writing one, or both, likewise",
    },
    "max-tokens": { type: "string", valueHint: "n", default: "10000", description: "The longest text" },
    budget: {
      type: "string",
      valueHint: "seconds",
      default: "120",
      description: "About how long all of it may take; what would take longer is left out",
    },
    layers: { type: "string", valueHint: "n", default: "4", description: "Layers of each model" },
    width: { type: "string", valueHint: "n", default: "256", description: `Channels, a multiple of ${HEAD_SIZE}` },
    weights: { type: "string", valueHint: "type", default: "q8_0", description: `One of ${TARGET_TYPES.join(", ")}` },
    threads: { type: "string", valueHint: "n", default: "auto", description: "auto, or an integer from 1 to 64" },
    with: withArg,
    ...outputArgs,
  },
  run,
};

/** What must be the same for curves to be comparable. */
interface Setting {
  layers: number;
  width: number;
  vocab: number;
  weights: string;
  threads: number;
  build: string;
  machine: Machine;
}

interface Curve extends Along {
  model: string;
  phase: Phase;
  parameters: number;
  weightBytes: number;
  /** What a text leaves behind: bytes of a state, or of keys and values for each token. */
  contextBytes: number;
  perTokenBytes: number;
  /** Of the seconds in all, and of the seconds for one token more, by length: from 1,000 tokens on. */
  total?: Power;
  perToken?: Power;
  /** Of the seconds in all, over all lengths. */
  parts?: Quadratic;
}

interface Report extends Setting {
  experiment: "scaling";
  curves: Curve[];
  /** From which length on the Transformer takes longer. */
  crossings: { model: string; phase: Phase; tokens: number | null }[];
}

const nameOf = (kind: Kind): string => (kind === "transformer" ? "Transformer" : `RWKV-${kind}`);

async function run(given: Given): Promise<void> {
  const { values, lists } = given;
  const number = (option: string, range: Range) => numberOf(NAME, option, values[option]!, range);
  const inOrder = <T extends string>(option: string, known: readonly T[]) => {
    const words = listOf(NAME, option, values[option]!, known);
    return known.filter((one) => words.includes(one));
  };
  const kinds = inOrder("models", KINDS);
  const phases = inOrder("phases", PHASES);
  const marks = marksTo(number("max-tokens", MOST_TOKENS));
  const budget = number("budget", BUDGET);
  const [layers, width] = [number("layers", LAYERS), number("width", WIDTH)];
  if (width % HEAD_SIZE !== 0) throw new UsageError(`--width must be a multiple of ${HEAD_SIZE}, not ${width}`, NAME);
  const weights = TARGET_TYPES.find((type) => type === values.weights);
  if (!weights)
    throw new UsageError(`--weights must be one of ${TARGET_TYPES.join(", ")}, not "${values.weights}"`, NAME);
  const threads = threadsOf(values.threads!, NAME);
  if (threads === 0) throw new UsageError("--threads must be auto or an integer from 1 to 64, not 0", NAME);
  const earlier = await earlierRuns<Report>(
    "scaling",
    lists.with,
    ({ curves }) => Array.isArray(curves) && curves.every(isCurve),
  );
  const output = await outputOf(given);
  const signal = interruption();

  const shape = { layers, width, vocab: VOCAB };
  let setting: Setting | undefined;
  const curves: Curve[] = [];
  const started = performance.now();
  const progress = new Progress("Measuring");
  try {
    for (const [i, kind] of kinds.entries()) {
      const quadratic = kind === "transformer";
      const possible = quadratic ? marks.filter((mark) => (mark + BEYOND) * cacheBytes(shape) <= MOST_CACHE) : marks;
      const positions = quadratic ? possible.at(-1)! + BEYOND : undefined;
      const file = synthetic(kind, shape, nameOf(kind));
      const model = await loadInMemory(file, { threads, weights, positions, signal });
      try {
        if (!setting) {
          setting = { ...shape, weights, threads: model.threads, build: model.build, machine: machine() };
          for (const report of earlier) compare(report, setting);
        }
        for (const [j, phase] of phases.entries()) {
          const done = i * phases.length + j;
          const all = kinds.length * phases.length;
          progress.update({ loaded: done, total: all });
          // What one did not use is for the others.
          const seconds = (budget - (performance.now() - started) / 1000) / (all - done);
          const found = await along(model, phase, possible, { seconds, quadratic, signal });
          const { parameters, weightBytes } = model;
          const [contextBytes, perTokenBytes] = [model.contextBytes(0), model.contextBytes(1) - model.contextBytes(0)];
          const leftOut = marks.filter((mark) => !found.marks.some(({ tokens }) => tokens === mark));
          const curve = { model: nameOf(kind), phase, parameters, weightBytes, contextBytes, perTokenBytes };
          curves.push(fitted({ ...curve, marks: found.marks, leftOut }));
        }
      } finally {
        model.close();
      }
    }
  } finally {
    progress.end();
  }

  const report = joined(setting!, curves, earlier);
  await output({
    lines: linesOf(report),
    json: report,
    svg: async () => (await import("./scaling-chart.ts")).chartOf(report),
  });
}

function isCurve(curve: Partial<Curve> | null): boolean {
  return (
    typeof curve?.model === "string" &&
    PHASES.some((phase) => phase === curve.phase) &&
    [curve.parameters, curve.weightBytes, curve.contextBytes, curve.perTokenBytes].every(isNumber) &&
    Array.isArray(curve.leftOut) &&
    curve.leftOut.every(isNumber) &&
    Array.isArray(curve.marks) &&
    curve.marks.every((mark) => [mark?.tokens, mark?.seconds, mark?.runs, mark?.perToken].every(isNumber))
  );
}

const totals = ({ marks }: Along): Point[] => marks.map(({ tokens, seconds }) => [tokens, seconds]);
const perTokens = ({ marks }: Along): Point[] => marks.map(({ tokens, perToken }) => [tokens, perToken]);

function fitted(curve: Curve): Curve {
  const far = (points: Point[]) => points.filter(([tokens]) => tokens >= FIT_FROM);
  return {
    ...curve,
    total: powerFit(far(totals(curve))),
    perToken: powerFit(far(perTokens(curve))),
    parts: quadraticFit(totals(curve)),
  };
}

/** Refuses what was measured otherwise, before anything else is measured. */
function compare(report: Report, setting: Setting): void {
  const facts = ({ machine, ...rest }: Setting) => ({ ...rest, processor: machine?.cpu, runtime: machine?.runtime });
  const [there, here] = [facts(report), facts(setting)];
  for (const key of ["layers", "width", "vocab", "weights", "threads", "build", "processor", "runtime"] as const)
    if (there[key] !== here[key])
      throw new Error(`what --with gives was measured with ${key} ${there[key]}, this with ${here[key]}`);
}

/** One report of several runs; of what was measured twice the last counts. */
function joined(setting: Setting, own: readonly Curve[], earlier: readonly Report[]): Report {
  const curves = new Map<string, Curve>();
  for (const report of earlier) {
    for (const curve of report.curves) curves.set(`${curve.model} ${curve.phase}`, fitted(curve));
  }
  for (const curve of own) curves.set(`${curve.model} ${curve.phase}`, curve);
  const names = KINDS.map(nameOf);
  const all = [...curves.values()].sort((a, b) => names.indexOf(a.model) - names.indexOf(b.model));
  const crossings = PHASES.flatMap((phase) => {
    const transformer = all.find((curve) => curve.model === nameOf("transformer") && curve.phase === phase);
    if (!transformer) return [];
    return all
      .filter((curve) => curve !== transformer && curve.phase === phase)
      .map((curve) => ({ model: curve.model, phase, tokens: crossing(totals(transformer), totals(curve)) ?? null }));
  });
  return { experiment: "scaling", ...setting, curves: all, crossings };
}

const power = (fit: Power | undefined): string => (fit ? `${fit.exponent.toFixed(2)} ± ${fit.error.toFixed(2)}` : "-");

function linesOf({ curves, crossings, ...setting }: Report): string[] {
  const { layers, width, vocab, weights, threads } = setting;
  const lengths = [...new Set(curves.flatMap(({ marks }) => marks.map(({ tokens }) => tokens)))].sort((a, b) => a - b);
  const decades = lengths.filter((tokens) => /^10*$/.test(String(tokens)));
  const table = (
    title: string,
    phase: Phase,
    cell: (curve: Curve, tokens: number) => number | undefined,
    fit?: (curve: Curve) => Power | undefined,
  ) => {
    const rows = curves
      .filter((curve) => curve.phase === phase)
      .map((curve) => [
        curve.model,
        ...decades.map((tokens) => {
          const value = cell(curve, tokens);
          return value === undefined ? "-" : digits(value);
        }),
        ...(fit ? [power(fit(curve))] : []),
      ]);
    return ["", title, ...columns([["tokens", ...decades.map(grouped), ...(fit ? ["exponent"] : [])], ...rows])];
  };
  const mark = (curve: Curve, tokens: number) => curve.marks.find((one) => one.tokens === tokens);
  const tables = PHASES.flatMap((phase) => [
    ...table(
      `${phase}: seconds in all`,
      phase,
      (curve, n) => mark(curve, n)?.seconds,
      ({ total }) => total,
    ),
    ...table(
      `${phase}: microseconds for one token more`,
      phase,
      (curve, n) => (mark(curve, n) ? mark(curve, n)!.perToken * 1e6 : undefined),
      ({ perToken }) => perToken,
    ),
  ]);
  const memory = table(
    "what the text takes, MiB",
    "prefill",
    ({ contextBytes, perTokenBytes }, n) => (contextBytes + n * perTokenBytes) / 2 ** 20,
  );
  const said = crossings.map(({ model, phase, tokens }) =>
    tokens === null
      ? `${phase}: the Transformer nowhere takes longer than ${model}`
      : `${phase}: the Transformer takes longer than ${model} ${tokens < 1 ? "at every length" : `from ${grouped(Math.round(tokens))} tokens on`}`,
  );
  const left = curves.flatMap(({ model, phase, leftOut }) =>
    leftOut.length > 0 ? [`left out: ${model}, ${phase}, from ${grouped(leftOut[0]!)} tokens on`] : [],
  );
  return [
    `${layers} layers of width ${width}, vocabulary ${grouped(vocab)}, ${weights}, ${threads} thread${threads === 1 ? "" : "s"}; random weights`,
    machineText(setting.machine),
    `Exponents are fitted from ${grouped(FIT_FROM)} tokens on.`,
    ...tables,
    ...memory,
    ...(said.length + left.length > 0 ? [""] : []),
    ...said,
    ...left,
  ];
}

export type { Report };
