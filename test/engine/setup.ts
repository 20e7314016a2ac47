/**
 * What the tests of the engine and of the API share: models loaded from the sources under test, on a platform that can be
 * told to misbehave. Only the workers' script and the kernels come from dist/.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type LoadOptions, loadModel, type ModelSource } from "../../src/api/load.ts";
import type { Model } from "../../src/api/model.ts";
import type { Session } from "../../src/api/session.ts";
import { hex8, xxhash32 } from "../../src/bytes/hash.ts";
import type { Build } from "../../src/engine/kernels.ts";
import type { Platform, WorkerHandle } from "../../src/engine/platform.ts";
import { handle, platform as node } from "../../src/platform/node.ts";

/** Workers of `dist/`, and the platform that started them. `workers[0]` leads. */
export interface Bench {
  platform: Platform;
  workers: Worker[];
}

/** A Node platform; `changes` replace parts of it. */
export function bench(changes: Partial<Platform> = {}): Bench {
  const workers: Worker[] = [];
  const spawn = (): WorkerHandle => {
    const worker = new Worker(pathToFileURL("dist/worker.node.js"), { name: "rwkv", execArgv: [] });
    workers.push(worker);
    return handle(worker);
  };
  const kernels = async (build: Build) => new WebAssembly.Module(readFileSync(`dist/kernels/${build}.wasm`));
  return { platform: { ...node, kernels, spawn, ...changes }, workers };
}

/** The model with two layers, in f32. */
export const V7 = "test/fixtures/v7.f32.gguf";

/** Loads a model, by default the small one, with two threads. */
export function open(options: LoadOptions = {}, from: ModelSource = V7, platform = bench().platform): Promise<Model> {
  return loadModel(platform, from, { threads: 2, ...options });
}

/** Token ids that look like nothing, below 260. */
export const ids = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, i) => ((i + first) * 37 + 11) % 260);

export const hashOf = (rows: Iterable<ArrayBufferView>): string => {
  let hash = 0;
  for (const row of rows) hash = xxhash32(row, hash);
  return hex8(hash);
};

/** A saved state's header, and its numbers by part. */
export function parse(saved: Uint8Array): {
  header: { position: number; fingerprint: string; parts: [name: string, shape: number[]][] };
  parts: Map<string, Float32Array>;
  numbers: Float32Array;
} {
  const length = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(saved.subarray(12, 12 + length)));
  const numbers = new Float32Array(saved.slice(12 + length).buffer);
  const parts = new Map<string, Float32Array>();
  let at = 0;
  for (const [name, shape] of header.parts as [string, number[]][]) {
    const count = shape.reduce((a, b) => a * b, 1);
    parts.set(name, numbers.subarray(at, at + count));
    at += count;
  }
  return { header, parts, numbers };
}

/** What tells two sessions apart: where they stand, and every bit of their states. */
export async function standing(session: Session): Promise<string> {
  const { header, numbers } = parse(await session.save());
  return `${header.position} ${hashOf([numbers])}`;
}

/** Where a session stands that has taken in just these tokens. */
export async function standingAfter(model: Model, tokens: readonly number[]): Promise<string> {
  const session = model.session();
  await session.feed(tokens);
  const found = await standing(session);
  await session.close();
  return found;
}
