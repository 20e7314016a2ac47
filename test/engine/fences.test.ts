// The fences that the planner finds. A program is run in one thread, rank by rank and record by record, in orders that a team
// of workers could come by: between two fences every rank may be as far as it likes. If a fence were missing, some order would
// give other bits; if one were superfluous, leaving it out would change nothing.
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BATCH_HEADS, BATCH_ROWS, BATCH_TABLE, F_FENCE, F_OP, OP_END, RECORD_BYTES } from "../../assembly/ops.ts";
import { bytesSource } from "../../src/bytes/source.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { EngineHost } from "../../src/engine/host.ts";
import { instantiate, type Kernels } from "../../src/engine/kernels.ts";
import { createMemory } from "../../src/engine/memory.ts";
import { Planner } from "../../src/engine/planner.ts";
import type { Done, Port, Reply, Request, Rows } from "../../src/engine/protocol.ts";
import type { EngineSpec } from "../../src/engine/spec.ts";
import { configOf } from "../../src/model/config.ts";
import { loadTensors } from "../../src/model/load.ts";
import { planRwkv7 } from "../../src/model/rwkv7.ts";
import { Tensors } from "../../src/model/tensors.ts";
import { openWeights } from "../../src/weights/open.ts";
import { runs } from "../runs.ts";
import { fixture } from "../weights/support.ts";
import { hashOf } from "./setup.ts";

const WORDS = RECORD_BYTES / 4;
const module = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));

interface Loaded {
  spec: EngineSpec;
  memory: WebAssembly.Memory;
  kernels: Kernels;
  /** The program's records, without the last. */
  records: Uint32Array[];
  /** How many run them, if not all. */
  ranks?: number;
}

/** A planned and loaded model, whose program nobody runs. */
async function load(name: string, ranks: number): Promise<Loaded> {
  const file = await openWeights(bytesSource(name, fixture(name)));
  const planner = new Planner({ rows: 8, ranks, sessions: 6 });
  const spec = planRwkv7(planner, new Tensors(file, planner), configOf(file));
  const memory = createMemory(spec.bytes, spec.maximumBytes, false);

  let hear!: (request: Request) => void;
  const waiting = new Map<number, (reply: Reply) => void>();
  const port: Port<Reply, Request> = {
    post: (reply) => {
      if ("job" in reply) waiting.get(reply.job)!(reply);
    },
    onMessage: (listener) => {
      hear = listener;
    },
  };
  new Engine(spec, module, memory, port, { breathe: () => Promise.resolve(), interval: 0 });
  let jobs = 0;
  const request = (body: object) =>
    new Promise<Reply>((resolve) => {
      waiting.set(++jobs, resolve);
      hear({ ...body, job: jobs } as Request);
    });
  const host = {
    landings: () => [{ rank: 0 }],
    pack: (_: number, rows: Rows) => request({ kind: "rows", rows }),
    seal: async (weights: object) => ((await request({ kind: "seal", ...weights })) as Done).fingerprint,
  } as unknown as EngineHost;
  await loadTensors(host, spec, planner.loads);

  const records: Uint32Array[] = [];
  for (let at = WORDS; spec.image[at + F_OP / 4] !== OP_END; at += WORDS)
    records.push(spec.image.slice(at, at + WORDS));
  return { spec, memory, kernels: instantiate(module, memory), records };
}

/** Records between which no rank waits for another. */
function segments(records: Uint32Array[]): Uint32Array[][] {
  const found: Uint32Array[][] = [[]];
  for (const record of records) {
    found.at(-1)!.push(record);
    if (record[F_FENCE / 4]) found.push([]);
  }
  assert.equal(found.pop(), [], "the last record has a fence");
  return found;
}

/** Whose turn it is: an index into the ranks that have records left, by their numbers. */
type Order = (open: readonly number[]) => number;

const first: Order = () => 0;
const last: Order = (open) => open.length - 1;
/** One rank runs ahead of all others, or is the last to start. */
const ahead =
  (rank: number): Order =>
  (open) =>
    Math.max(0, open.indexOf(rank));
const behind =
  (rank: number): Order =>
  (open) =>
    open[0] === rank && open.length > 1 ? 1 : 0;

/** Runs records by ranks, all that were planned for or fewer, in an order. */
function interleave({ spec, memory, kernels, ranks = spec.ranks }: Loaded, records: Uint32Array[], order: Order): void {
  const program = new Uint32Array(memory.buffer, spec.program, WORDS * 3);
  const next = new Array<number>(ranks).fill(0);
  for (;;) {
    const open = [...next.keys()].filter((rank) => next[rank] < records.length);
    if (open.length === 0) return;
    const rank = open[order(open)];
    program.set(spec.image.subarray(0, WORDS));
    program.set(records[next[rank]++], WORDS);
    program[WORDS * 2 + F_OP / 4] = OP_END;
    kernels.run(spec.program, rank, ranks);
  }
}

/**
 * Two sessions take in three tokens and two, then one each, then one of them three with a state for each, as guesses do: a hash of the logits
 * after the passes and of the states.
 */
function pass(model: Loaded, parts: Uint32Array[][], order: Order, tokens: readonly number[]): string {
  const { spec, memory } = model;
  const u32 = (at: number, words: number) => new Uint32Array(memory.buffer, at, words);
  const slot = (i: number) => spec.heap + i * spec.slotBytes;
  const row = (token: number, from: number, to: number, position: number) => [
    tokens[token],
    slot(from),
    slot(to),
    position,
  ];
  const passes = [
    { rows: [row(0, 0, 1, 0), row(1, 0, 1, 1), row(2, 0, 1, 2), row(3, 0, 2, 0), row(4, 0, 2, 1)], ends: [1, 2] },
    { rows: [row(5, 1, 3, 3), row(6, 2, 4, 2)], ends: [3, 4] },
    { rows: [row(0, 3, 5, 4), row(1, 5, 6, 5), row(2, 6, 7, 6)], ends: [5, 6, 7] },
  ];
  const seen: ArrayBufferView[] = [];
  for (const { rows, ends } of passes) {
    u32(spec.batch + BATCH_TABLE, rows.length * 4).set(rows.flat());
    u32(spec.headList, ends.length).set(ends.map((end) => slot(end) + spec.hidden));
    u32(spec.batch + BATCH_ROWS, 1)[0] = rows.length;
    u32(spec.batch + BATCH_HEADS, 1)[0] = ends.length;
    for (const part of parts) interleave(model, part, order);
    ends.forEach((_, i) => {
      seen.push(new Float32Array(memory.buffer, spec.logits + i * spec.logitsStride, spec.vocab).slice());
    });
  }
  return hashOf([...seen, ...[1, 2, 3, 4, 5, 6, 7].map((i) => u32(slot(i), spec.slotBytes / 4))]);
}

const TOKENS = [82, 87, 75, 86, 58, 32, 97];
/** Run before, so that what is read too early is never what is expected there. */
const OTHERS = [1, 2, 3, 4, 5, 6, 7];

/** What a session has taken in, in whatever slots, as hashes of the states after some of them. */
function states(model: Loaded, rows: number[][], ends: number[]): string[] {
  const { spec, memory, records } = model;
  const u32 = (at: number, words: number) => new Uint32Array(memory.buffer, at, words);
  const slot = (i: number) => spec.heap + i * spec.slotBytes;
  const table = rows.flatMap(([token, from, to], i) => [token, slot(from), slot(to), i]);
  u32(spec.batch + BATCH_TABLE, table.length).set(table);
  u32(spec.batch + BATCH_ROWS, 1)[0] = rows.length;
  u32(spec.batch + BATCH_HEADS, 1)[0] = 0;
  interleave(model, records, first);
  return ends.map((end) => hashOf([u32(slot(end), spec.slotBytes / 4)]));
}

const FILES = ["v7.f32.gguf", "v7.q8_0.gguf"];
const SINGLE = new Map<string, string>();
for (const file of FILES) {
  const model = await load(file, 1);
  SINGLE.set(file, pass(model, segments(model.records), first, TOKENS));
}

for (const file of FILES)
  test(`${file}: ranks may run as far apart as the fences let them`, async () => {
    for (const ranks of [2, 3, 4]) {
      const model = await load(file, ranks);
      const parts = segments(model.records);
      const orders = [first, last, ...[...Array(ranks).keys()].flatMap((rank) => [ahead(rank), behind(rank)])];
      for (const order of orders) {
        pass(model, parts, first, OTHERS);
        assert.is(pass(model, parts, order, TOKENS), SINGLE.get(file), `${ranks} ranks`);
      }
      fc.assert(
        fc.property(fc.infiniteStream(fc.nat(1000)), (stream) => {
          pass(model, parts, first, OTHERS);
          const order: Order = (open) => stream.next().value! % open.length;
          assert.is(pass(model, parts, order, TOKENS), SINGLE.get(file), `${ranks} ranks`);
        }),
        { numRuns: runs(10) },
      );
    }
  });

for (const file of FILES)
  test(`${file}: so may as many of them as divide their number, with the fences that were planned for all`, async () => {
    for (const [all, some] of [
      [4, [2]],
      [6, [2, 3]],
      [8, [2, 4]],
    ] as const) {
      const planned = await load(file, all);
      for (const ranks of some) {
        const model = { ...planned, ranks };
        const parts = segments(model.records);
        for (const order of [...Array(ranks).keys()].flatMap((rank) => [ahead(rank), behind(rank)])) {
          pass(model, parts, first, OTHERS);
          assert.is(pass(model, parts, order, TOKENS), SINGLE.get(file), `${ranks} of ${all} ranks`);
        }
      }
    }
  });

for (const file of FILES)
  test(`${file}: without any one of its fences the bits would depend on the order`, async () => {
    const needed = new Set<number>();
    let fences = 0;
    for (const ranks of [2, 3]) {
      const model = await load(file, ranks);
      const parts = segments(model.records);
      fences = parts.length - 1; // the last one is for whoever waits for the program
      for (let i = 0; i < fences; i++) {
        const joined = [...parts.slice(0, i), [...parts[i], ...parts[i + 1]], ...parts.slice(i + 2)];
        for (const order of [...Array(ranks).keys()].flatMap((rank) => [ahead(rank), behind(rank)])) {
          pass(model, parts, first, OTHERS);
          if (pass(model, joined, order, TOKENS) !== SINGLE.get(file)) needed.add(i);
        }
      }
    }
    assert.equal(
      [...needed].sort((a, b) => a - b),
      [...Array(fences).keys()],
    );
  });

for (const file of FILES)
  test(`${file}: a state for each row is the state that rows with one state for all come to`, async () => {
    const model = await load(file, 1);
    const each = states(
      model,
      [
        [82, 0, 1],
        [87, 1, 2],
        [75, 2, 3],
        [86, 3, 4],
      ],
      [1, 2, 3, 4],
    );
    for (let n = 1; n <= 4; n++) {
      const rows = [82, 87, 75, 86].slice(0, n).map((token) => [token, 0, 5]);
      assert.equal(states(model, rows, [5]), [each[n - 1]]);
    }
  });

/** The operations between fences, by letter. */
const shape = (records: Uint32Array[]) =>
  segments(records).map((part) => part.map((record) => "?ENMQWKG"[record[F_OP / 4]]).join(""));

test("the plan of RWKV-7 has the fences that one expects: eight in a layer, four around the layers", async () => {
  // Embed, then per layer: norm and mix | r, k, v and the ways down | the ways up | heads | output | norm and mix | key | value,
  // then: keep the last row | norm of the rows that are wanted | head. Layer 0 has no value residual.
  const layer = (lora: number) => ["N", "M".repeat(3 + lora), "M".repeat(lora), "W", "M", "N", "M", "M"];
  const f32 = await load("v7.f32.gguf", 2);
  assert.equal(shape(f32.records), ["E", ...layer(3), ...layer(4), "K", "G", "M"]);
  // What a rank wrote itself it quantises without waiting; only the last norm is shared out by rows.
  const quantised = (parts: string[]) => parts.map((part, i) => (part === "W" || i === 6 ? `${part}Q` : part));
  const q8_0 = await load("v7.q8_0.gguf", 2);
  assert.equal(shape(q8_0.records), ["E", ...quantised(layer(3)), ...quantised(layer(4)), "K", "G", "Q", "M"]);
});

test.run();
