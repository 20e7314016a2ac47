// Where a token's time goes: the program of a pass over the model, run one record at a time with a clock around each, in order,
// so that every record finds the caches as it would. One thread, for one token and for as many as a prompt takes in one pass.
import * as ops from "../assembly/ops.ts";
import {
  BATCH_HEADS,
  BATCH_ROWS,
  BATCH_TABLE,
  F_ARGS,
  F_OP,
  F_ROWS,
  OP_EMBED,
  OP_END,
  OP_GATHER_NORM,
  OP_MATMUL,
  OP_NORM_MIX,
  OP_QUANTIZE,
  RECORD_BYTES,
  ROW_BYTES,
  RUN_DONE,
} from "../assembly/ops.ts";
import { loadModel } from "../src/api/load.ts";
import { instantiate } from "../src/engine/kernels.ts";
import type { Platform, WorkerHandle } from "../src/engine/platform.ts";
import type { Reply, Request, Start } from "../src/engine/protocol.ts";
import { WEIGHT_TYPES, type WeightType } from "../src/engine/weight-types.ts";
import { begin } from "../src/engine/worker.ts";
import { platform } from "../src/platform/node.ts";
import { compiled, usableBuilds } from "./lib/built.ts";
import { LOADABLE, numbers, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const chosen = options(
  {
    model: "weights/stories-7m.q8_0.gguf",
    weights: "file",
    build: (await usableBuilds()).some((build) => build.startsWith("relaxed")) ? "relaxed" : "plain",
    tokens: "1,64",
    passes: "50",
    json: undefined as string | undefined,
  },
  { weights: LOADABLE, build: ["plain", "relaxed"] },
);

// The model is loaded as always, except that its worker is this thread: so the program and the memory are at hand.
let lead: Extract<Start, { kind: "lead" }> | undefined;
/** Which weights begin at an address. */
const names = new Map<number, string>();

function here(): WorkerHandle {
  let hear: ((request: Request) => void) | undefined;
  let answer: ((reply: Reply) => void) | undefined;
  const port = {
    post: (reply: Reply) => queueMicrotask(() => answer?.(reply)),
    onMessage: (listener: (request: Request) => void) => {
      hear = listener;
    },
  };
  return {
    post: (message) => {
      if (message.kind === "lead") {
        lead = message;
        begin(message, port, { breathe: platform.breathe, interval: 0 });
      } else if (message.kind !== "follow" && message.kind !== "join") {
        if (message.kind === "rows" && message.rows.first === 0) names.set(message.rows.address, message.rows.name);
        hear?.(message);
      }
    },
    onMessage: (listener) => {
      answer = listener;
    },
    onDeath: () => {},
    hold: () => {},
    terminate: () => {},
  };
}

const inThisThread: Platform = { ...platform, spawn: here, kernels: async (build) => compiled(build) };
const model = await loadModel(inThisThread, chosen.model, {
  threads: 1,
  build: chosen.build as "plain" | "relaxed",
  weights: chosen.weights === "file" ? undefined : (chosen.weights as WeightType),
});
if (!lead?.memory) throw new Error("The model did not start.");
const { spec, memory } = lead;
const kernels = instantiate(lead.module, memory);
const view = new Uint32Array(memory.buffer);
const WORDS = RECORD_BYTES / 4;

/** Names of the operations, from the list that the kernels have. */
const OPERATIONS = Object.fromEntries(
  Object.entries(ops).flatMap(([name, op]) => (name.startsWith("OP_") ? [[op, name.slice(3).toLowerCase()]] : [])),
);
/** Which argument of a record says whose weights it reads. */
const WEIGHTS: Record<number, number> = { [OP_EMBED]: 0, [OP_NORM_MIX]: 2, [OP_MATMUL]: 2, [OP_GATHER_NORM]: 2 };
const TYPES = Object.fromEntries(Object.entries(WEIGHT_TYPES).map(([name, type]) => [type, name]));

interface Step {
  /** The same for all layers. */
  label: string;
  /** Address of a program with this record only. */
  program: number;
  /** Done for every token; else only for the last one. */
  perRow: boolean;
  /** Of a matrix product: multiply-adds for one token, and bytes of weights. */
  macs: number;
  bytes: number;
}

/** Every record as a program of its own, in the place where tensors were staged. */
const steps: Step[] = [];
/** As it is now: matrices may have got another type when all were loaded. */
const image = view.slice(spec.program / 4, spec.program / 4 + spec.image.length);
for (let at = WORDS, free = spec.staging; image[at + F_OP / 4] !== OP_END; at += WORDS) {
  const program = free;
  free += 3 * RECORD_BYTES;
  if (free > spec.staging + spec.stagingBytes) throw new Error("The model has too many operations for this benchmark.");
  view.set(image.subarray(0, WORDS), program / 4);
  view.set(image.subarray(at, at + WORDS), program / 4 + WORDS);
  view.fill(0, program / 4 + 2 * WORDS, program / 4 + 3 * WORDS);
  const op = image[at + F_OP / 4];
  const args = image.subarray(at + F_ARGS / 4, at + WORDS);
  const weights = names.get(args[WEIGHTS[op]])?.replace(/^blk\.\d+\./, "") ?? "";
  let label = `${OPERATIONS[op]} ${weights}`;
  let [macs, bytes] = [0, 0];
  if (op === OP_MATMUL) {
    const [type, outputs, inputs] = [args[3], args[6], args[7]];
    label += ` ${TYPES[type]} ${outputs}x${inputs}`;
    macs = outputs * inputs;
    bytes = kernels.piece_bytes(type, inputs) * Math.ceil(outputs / 32);
  } else if (op === OP_QUANTIZE) label += `${args[3]} channels`;
  steps.push({ label, program, perRow: image[at + F_ROWS / 4] === spec.batch + BATCH_ROWS, macs, bytes });
}

const report = new Report(`Time per operation, ${chosen.model}`, chosen.json);
for (const tokens of numbers(chosen.tokens)) {
  if (tokens > spec.rows) throw new Error(`This model takes at most ${spec.rows} tokens in one pass.`);
  profile(tokens, Number(chosen.passes));
}
report.end();
await model.close();

function profile(tokens: number, passes: number): void {
  const row = report.table(
    `${tokens === 1 ? "1 token" : `${tokens} tokens in one pass`}, logits of the last one; build ${model.info.build}, 1 thread`,
    ["operation", "times", "µs per token", "share %", "GMAC/s", "GB/s"],
  );
  // One session that reads the slot of a fresh one and writes the next.
  const [from, to] = [spec.heap, spec.heap + spec.slotBytes];
  view[(spec.batch + BATCH_ROWS) / 4] = tokens;
  view[(spec.batch + BATCH_HEADS) / 4] = 1;
  view[spec.headList / 4] = to + spec.hidden;
  for (let t = 0; t < tokens; t++) {
    view.set([1 + ((t * 7919) % (spec.vocab - 1)), from, to, t], (spec.batch + BATCH_TABLE + t * ROW_BYTES) / 4);
  }
  const run = (program: number): number => {
    const start = performance.now();
    if (kernels.run(program, 0, 1) !== RUN_DONE) throw new Error("The program did not run to its end.");
    return performance.now() - start;
  };
  const times = steps.map(() => [] as number[]);
  const whole: number[] = [];
  const WARM = 5;
  for (let pass = -WARM; pass < passes; pass++) {
    const all = run(spec.program);
    if (pass >= 0) whole.push(all);
    steps.forEach(({ program }, i) => {
      const time = run(program);
      if (pass >= 0) times[i].push(time);
    });
  }

  const groups = new Map<string, { count: number; time: number; macs: number; bytes: number }>();
  steps.forEach(({ label, perRow, macs, bytes }, i) => {
    const group = groups.get(label) ?? { count: 0, time: 0, macs: 0, bytes: 0 };
    group.count++;
    group.time += Math.min(...times[i]);
    group.macs += macs * (perRow ? tokens : 1);
    group.bytes += bytes;
    groups.set(label, group);
  });
  const sum = [...groups.values()].reduce((total, { time }) => total + time, 0);
  const perToken = (milliseconds: number) => (milliseconds * 1000) / tokens;
  for (const [label, { count, time, macs, bytes }] of [...groups].sort((a, b) => b[1].time - a[1].time)) {
    const rate = (amount: number) => (macs ? amount / time / 1e6 : "");
    row(label, count, perToken(time), (100 * time) / sum, rate(macs), rate(bytes));
  }
  row("sum", steps.length, perToken(sum), 100, "", "");
  const together = Math.min(...whole);
  row("the whole program in one run", 1, perToken(together), (100 * together) / sum, "", "");
}
