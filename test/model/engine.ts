/** An engine on a TensorFile, whatever container that came from, or none: plan, load, feed, look at the state. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { DownloadCache } from "../../src/bytes/cache.ts";
import { memoryStore } from "../../src/bytes/store.ts";
import { arrange, EngineHost } from "../../src/engine/host.ts";
import { Planner } from "../../src/engine/planner.ts";
import type { Platform, WorkerHandle } from "../../src/engine/platform.ts";
import { isRecipe, type Recipe, type WeightType } from "../../src/engine/weight-types.ts";
import { type Config, configOf } from "../../src/model/config.ts";
import { loadTensors } from "../../src/model/load.ts";
import { applyLora } from "../../src/model/lora.ts";
import { planOf } from "../../src/model/plan.ts";
import { measure, prepare } from "../../src/model/recipes.ts";
import { Tensors } from "../../src/model/tensors.ts";
import type { TensorFile } from "../../src/types.ts";

export interface Options {
  /** 0: beside the test. */
  threads?: number;
  build?: "plain" | "relaxed";
  weights?: WeightType | Recipe;
  /** Most tokens in one step. */
  rows?: number;
  lora?: TensorFile;
  /** Most bytes of weights that count as cached. */
  near?: number;
}

export interface Run {
  config: Config;
  /** Per token. */
  logits: Float32Array[];
  /** Per part, by name. */
  state: Map<string, Float32Array>;
  /** How each tensor that was read is kept. */
  types: Map<string, string>;
}

export const platform: Platform = {
  name: "test",
  sharesMemory: true,
  cores: 2,
  kernels: async (build) => new WebAssembly.Module(readFileSync(`dist/kernels/${build}.wasm`)),
  spawn(): WorkerHandle {
    const worker = new Worker(pathToFileURL(resolve("dist/worker.node.js")));
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      onMessage: (listener) => void worker.on("message", listener),
      onDeath: (listener) => void worker.on("error", (error) => listener(String(error))),
      hold: (yes) => (yes ? worker.ref() : worker.unref()),
      terminate: () => void worker.terminate(),
    };
  },
  breathe: () => new Promise((go) => setImmediate(go)),
  open: () => Promise.reject(new Error("the test opens its files itself")),
  cache: new DownloadCache(memoryStore()),
  keeps: false,
  worldVocabulary: () => Promise.reject(new Error("the test uses no text")),
};

/** Loads a model, feeds it the tokens, closes it. */
export async function run(file: TensorFile, tokens: readonly number[], options: Options = {}): Promise<Run> {
  const { threads = 0, build = "plain", weights, rows = 64, lora, near } = options;
  const arrangement = await arrange(platform, threads, build);
  const workers = Array.from({ length: threads }, () => platform.spawn!());
  const config = configOf(file);
  const planner = new Planner({ rows, ranks: arrangement.threads, sessions: 1, near });
  const tuned = lora && applyLora(file, lora, {}, config.rescaleEvery);
  const own = tuned?.file ?? file;
  const recipe = isRecipe(weights) ? prepare(own) : undefined;
  const type = isRecipe(weights) ? recipe : weights;
  const spec = await planOf(config, new Tensors(own, planner, type, tuned?.merges), planner);
  const module = await platform.kernels(arrangement.build);
  const engine = await EngineHost.start(platform, arrangement, workers, module, spec);
  try {
    if (recipe) await measure(recipe, platform, planner.loads);
    await loadTensors(engine, spec, planner.loads);
    await engine.request({ kind: "open", session: 0 });
    const logits: Float32Array[] = [];
    const listener = { logits: (row: Float32Array) => void logits.push(row) };
    await engine.request({ kind: "forward", session: 0, tokens: Uint32Array.from(tokens) }, listener);
    const { state } = await engine.request({ kind: "save", session: 0 });
    const parts = new Map<string, Float32Array>();
    let at = 0;
    for (const { name, shape } of spec.state) {
      const count = shape.reduce((a, b) => a * b, 1);
      parts.set(name, state!.slice(at, at + count));
      at += count;
    }
    const types = planner.loads.map((load) => [load.tensor.name, load.kind === "vector" ? "f32" : load.type] as const);
    return { config, logits, state: parts, types: new Map(types) };
  } finally {
    engine.close();
  }
}
