/**
 * What the tests of the engine share: models loaded from the sources under test, on a platform that can be
 * told to misbehave. Only the workers' script and the kernels come from dist/.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type LoadOptions, loadModel, type ModelSource } from "../../src/api/load.ts";
import type { Model } from "../../src/api/model.ts";
import type { Build } from "../../src/engine/kernels.ts";
import type { Platform, WorkerHandle } from "../../src/engine/platform.ts";
import { handle, platform as node } from "../../src/platform/node.ts";
import { V7 } from "../api/setup.ts";

export { hashOf, ids, parse, standing, standingAfter, V7 } from "../api/setup.ts";

/** Workers of `dist/`, and the platform that started them. `workers[0]` leads. */
export interface Bench {
  platform: Platform;
  workers: Worker[];
}

const ends = new WeakMap<Worker, Promise<void>>();

/** Resolves when all of the workers have ended. They do not keep the process alive, waiting for them must. */
export async function ended(workers: Worker[]): Promise<void> {
  const alive = setInterval(() => {}, 1000);
  await Promise.all(workers.map((worker) => ends.get(worker)));
  clearInterval(alive);
}

/** A Node platform; `changes` replace parts of it. */
export function bench(changes: Partial<Platform> = {}): Bench {
  const workers: Worker[] = [];
  const spawn = (): WorkerHandle => {
    const worker = new Worker(pathToFileURL("dist/worker.node.js"), { name: "rwkv", execArgv: [] });
    workers.push(worker);
    ends.set(worker, new Promise((resolve) => worker.once("exit", () => resolve())));
    return handle(worker);
  };
  const kernels = async (build: Build) => new WebAssembly.Module(readFileSync(`dist/kernels/${build}.wasm`));
  return { platform: { ...node, kernels, spawn, ...changes }, workers };
}

/** Loads a model, by default the small one, with two threads. */
export function open(options: LoadOptions = {}, from: ModelSource = V7, platform = bench().platform): Promise<Model> {
  return loadModel(platform, from, { threads: 2, ...options });
}
