/** `rwkv inspect`: says what a weights file, a LoRA or a tuned state holds, and what running a model would take. */

import type { InspectOptions, ModelReport, TensorReport, TunedReport } from "../index.ts";
import type { Command, Given } from "./arguments.ts";
import { interruption } from "./interrupt.ts";
import { threadsOf } from "./model.ts";
import { columns } from "./table.ts";
import { printable, warn, write } from "./terminal.ts";

export const inspect: Command = {
  meta: { name: "inspect", description: "Say what a file holds, and what running it takes" },
  args: {
    model: {
      type: "positional",
      description: "A model, a LoRA or a tuned state: a file, a folder, an address, or hf:owner/repo/file",
    },
    tensors: { type: "boolean", description: "List the tensors too" },
    json: { type: "boolean", description: "Write JSON" },
    threads: {
      type: "string",
      valueHint: "n",
      default: "auto",
      description: "How many threads would compute, for the memory it takes: auto, or an integer from 0 to 64",
    },
    weights: {
      type: "string",
      valueHint: "type",
      description: "What the large matrices would be converted to, likewise",
    },
  },
  run: inspectFile,
};

async function inspectFile({ values, switches }: Given): Promise<void> {
  const threads = threadsOf(values.threads!, "inspect");
  const weights = values.weights as InspectOptions["weights"];
  const signal = interruption();
  const library = await import("../index.ts");
  const warnings: string[] = [];
  const onWarning = (warning: string) => void warnings.push(warning);
  const { tensors, ...report } = await library.inspect(values.model!, { threads, weights, signal, onWarning });
  const json = switches.has("json");
  const text = json
    ? JSON.stringify(switches.has("tensors") ? { ...report, tensors } : report, null, 2)
    : [...linesOf(report), ...(switches.has("tensors") ? ["", ...table(tensors)] : [])].join("\n");
  // A file's names must not steer a terminal; a program that reads JSON wants them as they are.
  await write(process.stdout, `${json && !process.stdout.isTTY ? text : printable(text)}\n`);
  for (const warning of warnings) warn(warning);
}

const CONTAINERS = { gguf: "GGUF", safetensors: "safetensors", pth: "PyTorch (.pth)", ggmf: "rwkv.cpp (ggmf)" };

/** Most names of tensors that mean nothing here, and most files, that are worth listing. */
const LISTED = 8;

type Line = [label: string, text: string];
type Report<T> = Omit<T, "tensors">;

function linesOf(report: Report<ModelReport> | Report<TunedReport>): string[] {
  const { files, types, unknownTensors } = report;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const lines: Line[] = [
    ...(report.kind === "model" ? modelLines(report) : tunedLines(report)),
    ["container", `${CONTAINERS[report.container]}, ${bytesText(total)}`],
    ["files", listed(files.map(({ name, bytes }) => `${name} (${bytesText(bytes)})`))],
    ...Object.entries(types).map(
      ([type, { tensors, numbers, bytes }]): Line => [
        type,
        `${plural(tensors, "tensor")}, ${count(numbers)} numbers, ${bytesText(bytes)}`,
      ],
    ),
    ...(report.kind === "model" ? neededLines(report) : []),
    ["left out", unknownTensors.length > 0 ? `${listed(unknownTensors)}: names that mean nothing here` : ""],
  ];
  return lines.filter(([, text]) => text !== "").map(([label, text]) => `${label.padEnd(11)} ${oneLine(text)}`);
}

function modelLines(report: Report<ModelReport>): Line[] {
  const { heads, headSize } = report;
  const inHeads = heads > 0 ? ` (${heads} heads of ${headSize})` : "";
  return [
    ["model", `${report.name}: RWKV-${report.version}, ${count(report.parameters)} parameters`],
    ["sizes", `${report.layers} layers, width ${report.width}${inHeads}, FFN ${report.ffn}, ${report.vocab} tokens`],
  ];
}

function tunedLines({
  kind,
  name,
  layers,
  matrices,
  ranks,
  states,
  stateShape = [],
  whole,
}: Report<TunedReport>): Line[] {
  const rank = `rank${ranks.length > 1 ? "s" : ""} ${ranks.join(", ")}`;
  return [
    [kind === "lora" ? "LoRA" : "state", `${name}: ${plural(layers, "layer")}`],
    ["matrices", matrices > 0 ? `${matrices} changed, ${rank}` : ""],
    ["states", states > 0 ? `for ${plural(states, "layer")}, ${stateShape.join(" x ")} each` : ""],
    ["whole", whole.length > 0 ? `${listed(whole)}: in the place of the model's` : ""],
  ];
}

function neededLines({ memory, stateBytes, vocabulary, facts }: Report<ModelReport>): Line[] {
  const tooLarge = memory.fits ? "" : "; that is more than WebAssembly can address: choose smaller --weights";
  return [
    [
      "memory",
      `${bytesText(memory.bytes)} with ${plural(memory.threads, "thread")}, of which the weights take ${bytesText(memory.weights)}${tooLarge}`,
    ],
    ["state", `${bytesText(stateBytes)} for each session`],
    ["vocabulary", vocabulary.note],
    [
      "facts",
      Object.entries(facts)
        .map(
          ([key, value]) => `${key} ${typeof value === "number" && !Number.isInteger(value) ? rounded(value) : value}`,
        )
        .join(", "),
    ],
  ];
}

/** One line for each tensor, in columns. */
function table(tensors: readonly TensorReport[]): string[] {
  const rows = tensors.map(({ name, fileName, type, shape, transposed, form, bytes }) => [
    name,
    type,
    shape.join(" x ") + (transposed ? " (turned)" : ""),
    bytesText(bytes),
    [form ? `holds ${form}` : "", fileName === name ? "" : `in the file: ${fileName}`].filter(Boolean).join(", "),
  ]);
  return columns(rows, [0, 1, 2, 3, 4]).map(oneLine);
}

const oneLine = (text: string): string => text.replace(/[\t\n]/g, " ");
const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED;
  return names.slice(0, LISTED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Without the digits that f32 adds to a number like 1e-5. */
const rounded = (x: number): number => Number(x.toPrecision(7));

function count(n: number): string {
  if (n < 1e4) return String(n);
  const [unit, name] = n < 1e6 ? [1e3, "thousand"] : n < 1e9 ? [1e6, "million"] : [1e9, "billion"];
  return `${(n / unit).toFixed(1)} ${name}`;
}

function bytesText(n: number): string {
  if (n < 1024) return `${n} bytes`;
  const [unit, name] = n < 1 << 20 ? [1 << 10, "KiB"] : n < 1 << 30 ? [1 << 20, "MiB"] : [1 << 30, "GiB"];
  return `${(n / unit).toFixed(1)} ${name}`;
}
