/**
 * Models that no file holds, on this package's engine: an RWKV of any version, or the Transformer beside it. They take token ids and have
 * sessions, like any model.
 */

import { readFile } from "node:fs/promises";
import { NUMERICS } from "../../assembly/ops.ts";
import { Places } from "../api/places.ts";
import { arrangementOf } from "../api/plan.ts";
import { Session, type Shared } from "../api/session.ts";
import { EngineHost } from "../engine/host.ts";
import { Planner } from "../engine/planner.ts";
import type { Platform } from "../engine/platform.ts";
import type { WeightType } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import { type Config, configOf } from "../model/config.ts";
import { loadTensors } from "../model/load.ts";
import { planOf } from "../model/plan.ts";
import { Tensors } from "../model/tensors.ts";
import { platform as own } from "../platform/node.ts";
import type { TensorFile } from "../types.ts";
import { cacheBytes, planTransformer, transformerConfig } from "./transformer.ts";

export interface Options {
  /** 1 or more, or as many as there are cores. */
  threads: number | "auto";
  weights: WeightType;
  /** It is a Transformer, for texts of so many tokens. */
  positions?: number;
  signal?: AbortSignal;
  /** For tests: what runs it, and where the kernels with attention are. */
  platform?: Platform;
  folder?: URL;
}

/** Where the build puts them. */
const FOLDER = new URL("./lab/", import.meta.url);

/** A model in memory. */
export interface Loaded {
  readonly config: Config;
  readonly threads: number;
  readonly build: string;
  readonly parameters: number;
  readonly weightBytes: number;
  /** What a text of so many tokens leaves behind: a state, or keys and values. */
  contextBytes(tokens: number): number;
  session(): Session;
  close(): void;
}

/** A session that is open beside the one at work: where a measurement goes its own way. */
const SESSIONS = 4;

export async function loadInMemory(file: TensorFile, options: Options): Promise<Loaded> {
  const { threads, weights, positions, signal, platform: from = own, folder = FOLDER } = options;
  const kernels = positions === undefined ? undefined : (build: string) => readFile(new URL(`./${build}.wasm`, folder));
  const { platform, arrangement, planner: plan } = await arrangementOf(from, { threads, sessions: SESSIONS, kernels });
  if (arrangement.mode !== "team")
    throw new RwkvError("unsupported", "The experiments need threads that share memory, and this runtime has none.");
  const planner = new Planner(plan);
  const tensors = new Tensors(file, planner, weights);
  const config = positions === undefined ? configOf(file) : transformerConfig(file);
  const spec =
    positions === undefined
      ? await planOf(config, tensors, planner)
      : planTransformer(planner, tensors, config, positions);
  const module = await platform.kernels(arrangement.build);
  const workers = Array.from({ length: arrangement.threads }, () => platform.spawn!());
  const engine = await EngineHost.start(platform, arrangement, workers, module, spec);
  try {
    const fingerprint = await loadTensors(engine, spec, planner.loads, undefined, signal);
    const { version, layers, width } = config;
    const shared: Shared = {
      platform,
      engine,
      spec,
      identity: { model: file.name, version, layers, width, fingerprint, numerics: NUMERICS },
      text: { note: "the model has random weights" },
      sessions: new Places(spec.sessions),
      inner: new Places(spec.places - spec.sessions, spec.sessions),
      aside: new Places(1),
    };
    return {
      config,
      threads: arrangement.threads,
      build: arrangement.build,
      parameters: [...file.tensors.values()].reduce((sum, { bytes }) => sum + bytes / 2, 0),
      weightBytes: spec.weightBytes,
      contextBytes: (tokens) => (positions === undefined ? spec.slotBytes : tokens * cacheBytes(config)),
      session: () => new Session(shared, {}),
      close: () => engine.close(),
    };
  } catch (error) {
    engine.close();
    throw error;
  }
}
