/** What every entry exports beside `load`. */

export { type ErrorCode, RwkvError } from "../errors.ts";
export type { GenerateOptions, Generation, GenerationResult, Part } from "../generate.ts";
export type { LoadProgress } from "../model/load.ts";
export type { Tokenizer } from "../text/tokenizer.ts";
export type { LoadOptions, ModelSource } from "./load.ts";
export type { Model, ModelInfo } from "./model.ts";
export type { FeedOptions, Prompt, Session } from "./session.ts";
