/** From a source to a model. */

import { NUMERICS, TILE_MINIMUM, TILE_SYMMETRIC } from "../../assembly/ops.ts";
import { checkOptions, isRecord, type Names, numberOption, optionsOf, shown } from "../checks.ts";
import { EngineHost } from "../engine/host.ts";
import { Planner } from "../engine/planner.ts";
import type { Platform, WorkerHandle } from "../engine/platform.ts";
import type { EngineSpec } from "../engine/spec.ts";
import { isRecipe, tileKind, tileNibbles, type WeightType } from "../engine/weight-types.ts";
import { RwkvError } from "../errors.ts";
import { configOf } from "../model/config.ts";
import type { LoadProgress } from "../model/load.ts";
import type { LoraScale } from "../model/lora.ts";
import { planOf } from "../model/plan.ts";
import { Tensors } from "../model/tensors.ts";
import type { TensorFile } from "../types.ts";
import { openTuned, openWeights } from "../weights/open.ts";
import type { Model } from "./model.ts";
import { Places } from "./places.ts";
import { arrangementOf, PLAN_NAMES, type PlanOptions } from "./plan.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import { type ModelSource, SOURCE_NAMES, type SourceOptions, sourceOf, warnOf } from "./source.ts";
import { chooseTokenizer, type VocabularyOption } from "./tokenizer.ts";

export type { ModelSource };

/** A LoRA as RWKV-PEFT writes it, `.pth` or safetensors, and how much of it counts. */
export interface LoraOptions extends LoraScale {
  source: ModelSource;
}

export interface LoadOptions extends SourceOptions, PlanOptions {
  /** Merged into the matrices while they are loaded; docs/lora-and-states.md says how. */
  lora?: ModelSource | LoraOptions;
  /** The epsilon of `ln_x`, above 0, where the file is wrong or silent about it. Default: as in the file, else 64e-5. */
  lnXEpsilon?: number;
  /**
   * "world", "bytes", the content of a vocabulary file (a World text file or a `tokenizer.json`), or a tokenizer.
   * Default: the file's own, one beside it, or by the model's number of tokens; see docs/tokenizers.md.
   */
  vocabulary?: VocabularyOption;
  /**
   * Bytes of states to keep behind texts that were read, for texts that begin alike; docs/sessions.md says more. Default 0: none are kept.
   */
  prefixCache?: number;
  /** Called as tensors arrive. */
  onProgress?: (progress: LoadProgress) => void;
  /** @internal Most tokens in one step, and the first address; for tests. */
  rows?: number;
  base?: number;
}

const NAMES: Names<LoadOptions> = {
  ...SOURCE_NAMES,
  ...PLAN_NAMES,
  lora: 1,
  lnXEpsilon: 1,
  vocabulary: 1,
  prefixCache: 1,
  onProgress: 1,
  rows: 1,
  base: 1,
};

/** Texts that are measured at the same time; more wait for their turn. */
const ASIDE = 16;

/** How the kernels have a quantised matrix, in words; see assembly/blocks.ts. */
function tileOf(type: WeightType): string {
  const codes = tileNibbles(type) ? "4-bit codes" : "8-bit codes";
  switch (tileKind(type)) {
    case TILE_SYMMETRIC:
      return `${codes}, an f32 scale for 32`;
    case TILE_MINIMUM:
      return `${codes}, an f32 scale and minimum for 32`;
    default:
      return `${codes}, an f32 scale and minimum for 16`;
  }
}

export async function loadModel(own: Platform, from: ModelSource, options: LoadOptions = {}): Promise<Model> {
  checkOptions("load", options, NAMES);
  const { weights, lnXEpsilon, signal } = options;
  const prefixCache = numberOption("prefixCache", options.prefixCache, 0, { low: 0, high: Number.MAX_SAFE_INTEGER });
  const { platform, arrangement, planner: plan } = await arrangementOf(own, options, signal);
  if (lnXEpsilon !== undefined && !isPositive(lnXEpsilon)) {
    throw new RwkvError("input", `lnXEpsilon must be a number above 0, not ${shown(lnXEpsilon)}.`);
  }
  const lora = options.lora === undefined ? undefined : loraOf(options.lora);
  const merging = lora && (await import("../model/lora.ts"));
  if (lora) merging?.checkScale(lora);
  signal?.throwIfAborted();

  const source = await sourceOf(platform, from, options);
  // Workers take their time to start: they do so while the file's header is read.
  const workers: WorkerHandle[] = [];
  let file: TensorFile | undefined;
  let change: TensorFile | undefined;
  let engine: EngineHost | undefined;
  try {
    if (arrangement.mode !== "inline") {
      for (let i = 0; i < arrangement.threads; i++) workers.push(platform.spawn!());
    }
    const compiling = platform.kernels(arrangement.build);
    compiling.catch(() => {});
    // As does the code for what can be done with a loaded model.
    const made = import("./model.ts");
    made.catch(() => {});
    const loading = import("../model/load.ts");
    loading.catch(() => {});
    file = await openWeights(source, signal);
    const config = configOf(file, lnXEpsilon);
    warnOf(file, options.onWarning);
    if (lora) change = await openTuned(await sourceOf(platform, lora.source, options, "lora.source"), signal);
    if (change) warnOf(change, options.onWarning);
    const tuned = merging && change && merging.applyLora(file, change, lora, config.rescaleEvery);
    const planner = new Planner({ ...plan, rows: options.rows ?? plan.rows, base: options.base, cache: prefixCache });
    const base = tuned?.file ?? file;
    const recipes = isRecipe(weights) ? await import("../model/recipes.ts") : undefined;
    const recipe = recipes?.prepare(base);
    const type = isRecipe(weights) ? recipe : weights;
    const spec = await planOf(config, new Tensors(base, planner, type, tuned?.merges), planner);
    if (prefixCache > 0 && spec.cached === 0) {
      throw new RwkvError(
        "input",
        `A prefixCache of ${prefixCache} bytes is too small, or there is no memory for it: a state has ${spec.slotBytes}.`,
      );
    }
    const text = await chooseTokenizer(platform, options.vocabulary, file, source, config.vocab, signal);
    engine = await EngineHost.start(platform, arrangement, workers, await compiling, spec);
    const { onProgress } = options;
    const read = recipe && (await recipes?.measure(recipe, platform, planner.loads, onProgress, signal));
    const fingerprint = await (await loading).loadTensors(
      engine,
      spec,
      planner.loads,
      onProgress,
      signal,
      new Set([...(change?.tensors.values() ?? [])].map((tensor) => tensor.source)),
      read,
    );

    const name = String(file.facts.get("general.name") ?? file.name);
    const identity = {
      model: name,
      version: config.version,
      layers: config.layers,
      width: config.width,
      fingerprint,
      numerics: NUMERICS,
    };
    const bytesByType: Record<string, number> = {};
    const repacked: Record<string, string> = {};
    let parameters = 0;
    for (const load of planner.loads) {
      const type = load.kind === "vector" ? "f32" : load.type;
      const count = load.kind === "vector" ? load.count / load.times : load.rows * load.columns;
      parameters += count;
      bytesByType[type] = (bytesByType[type] ?? 0) + load.bytes;
      if (load.kind === "matrix" && tileKind(type)) repacked[type] = tileOf(type);
    }
    const { Model } = await made;
    return new Model(
      {
        platform,
        engine,
        spec,
        identity,
        text,
        template: file.facts.get("chat_template")?.toString(),
        sessions: new Places(spec.sessions),
        inner: new Places(spec.places - spec.sessions - spec.cached, spec.sessions),
        aside: new Places(ASIDE),
        cache: await cacheOf(engine, spec),
      },
      {
        name,
        version: config.version,
        layers: config.layers,
        width: config.width,
        heads: config.heads,
        headSize: config.headSize,
        ffn: config.ffn,
        vocab: config.vocab,
        tokenizer: text.tokenizer ? text.note : `none: ${text.note}`,
        parameters,
        container: file.container,
        weights: bytesByType,
        repacked,
        memory: spec.bytes,
        stateBytes: spec.slotBytes,
        mode: arrangement.mode,
        threads: arrangement.threads,
        build: arrangement.build,
        numerics: NUMERICS,
        fingerprint,
        unknownTensors: file.unknown,
        ...(config.version !== "4" && { lnXEpsilon: config.headNormEps }),
        ...(isRecipe(weights) && { recipe: weights }),
        ...(tuned && { lora: tuned.info }),
        ...(source.cache && { cache: source.cache }),
      },
    );
  } catch (error) {
    if (engine) engine.close();
    else for (const worker of workers) worker.terminate();
    throw error;
  } finally {
    await change?.close();
    await (file ?? source).close();
  }
}

async function cacheOf(
  engine: EngineHost,
  { cached, places, slotBytes }: EngineSpec,
): Promise<PrefixCache | undefined> {
  if (cached === 0) return undefined;
  const { PrefixCache } = await import("./prefix-cache.ts");
  return new PrefixCache(engine, slotBytes, cached, places - cached);
}

/** Whether it is a number above 0 also as f32. */
const isPositive = (x: unknown): boolean =>
  typeof x === "number" && Number.isFinite(Math.fround(x)) && Math.fround(x) > 0;

function loraOf(given: ModelSource | LoraOptions): LoraOptions {
  if (!isRecord(given)) return { source: given as ModelSource };
  return optionsOf("lora", given as unknown as LoraOptions, ["source", "alpha", "strength"])!;
}
