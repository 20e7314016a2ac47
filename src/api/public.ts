/** What every entry exports beside `load`, `convert` and `inspect`. */

export { type CachedDownload, DownloadCache } from "../bytes/cache.ts";
export type { BlockStore } from "../bytes/store.ts";
export type { KernelSource, KernelsOption } from "../engine/given.ts";
export type { Build } from "../engine/kernels.ts";
export type { Alternative, Score } from "../engine/scores.ts";
export type { WeightType } from "../engine/weight-types.ts";
export { type ErrorCode, RwkvError } from "../errors.ts";
export type { Drafter, GenerateOptions, Generation, GenerationResult, SpeculateOptions } from "../generate.ts";
export type { Container } from "../model/convert.ts";
export type { LoadProgress } from "../model/load.ts";
export type { LoraInfo } from "../model/lora.ts";
export type { ConvertType } from "../model/to-gguf.ts";
export type {
  DryOptions,
  DynamicTemperatureOptions,
  MirostatOptions,
  SamplingOptions,
  XtcOptions,
} from "../sampling.ts";
export type { ChatTemplate, Message, Think, Tool, ToolCall } from "../text/chat.ts";
export type { Part } from "../text/parts.ts";
export type { ReplyPart } from "../text/reply.ts";
export type { Tokenizer } from "../text/tokenizer.ts";
export type { CacheReport, HfTokenizer, JinjaTemplate } from "../types.ts";
export type { Sink } from "../weights/sink.ts";
export type { Candidate, CandidateOptions } from "./candidates.ts";
export type { Chat, ChatOptions, Reply, ReplyOptions } from "./chat.ts";
export type { ConvertOptions } from "./convert.ts";
export { cosine } from "./cosine.ts";
export type { InspectOptions, ModelReport, TensorReport, TunedReport } from "./inspect.ts";
export type { LoadOptions, LoraOptions } from "./load.ts";
export type {
  ContinuationScore,
  EmbedOptions,
  MeasureOptions,
  Perplexity,
  PerplexityOptions,
} from "./measures.ts";
export type { Model, ModelInfo } from "./model.ts";
export type { PrefixCache } from "./prefix-cache.ts";
export type { FeedOptions, Prompt, Session } from "./session.ts";
export type { ModelSource, SourceOptions } from "./source.ts";
export type { BpeVocabulary, VocabularyOption } from "./tokenizer.ts";
