/** What models, LoRAs and states are read from. */

import type { DownloadCache } from "../bytes/cache.ts";
import { hubUrl, isHubName, isPinned } from "../bytes/hub.ts";
import { blobSource, bytesSource } from "../bytes/source.ts";
import { type Names, shown } from "../checks.ts";
import type { Platform } from "../engine/platform.ts";
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";

/** A path, a URL or `hf:owner/repo/file@revision`, or the file itself. docs/sources.md says what each costs. */
export type ModelSource =
  | string
  | URL
  | Blob
  | Uint8Array<ArrayBuffer>
  | ArrayBuffer
  | Response
  | ReadableStream<Uint8Array>;

/** Says what is odd about a file, such as tensors that are left out because they mean nothing here. */
export function warnOf(file: TensorFile, onWarning: ((message: string) => void) | undefined): void {
  const { unknown, name, warnings = [] } = file;
  for (const warning of warnings) onWarning?.(warning);
  if (unknown.length === 0) return;
  const some = unknown.slice(0, 5).join(", ");
  const more = unknown.length > 5 ? ` and ${unknown.length - 5} more` : "";
  onWarning?.(`${name} has tensors that mean nothing here and are left out: ${some}${more}.`);
}

export interface SourceOptions {
  /** Sent with every request for the file, such as `{ Authorization: "Bearer …" }`. */
  headers?: Readonly<Record<string, string>>;
  /** Where `hf:` names lead. Default: https://huggingface.co. */
  hub?: string | URL;
  signal?: AbortSignal;
  /**
   * Where downloads are kept for the next time: `true` for the usual place, `false` for nowhere, a cache, or in Node, Deno and
   * Bun a folder's path. Default: `true` in browsers, else `false`. docs/sources.md says more.
   */
  cache?: boolean | string | DownloadCache;
  /** Told in a sentence what is odd about a file but no error, such as tensors that are left out. */
  onWarning?: (message: string) => void;
}

/** Their names. */
export const SOURCE_NAMES: Names<SourceOptions> = { headers: 1, hub: 1, signal: 1, cache: 1, onWarning: 1 };

/** What something is read from; `what`: how errors call that. Closing it is up to the caller. */
export async function sourceOf(
  platform: Platform,
  from: ModelSource,
  options: SourceOptions,
  what = "The source of a model",
): Promise<Source> {
  const { signal, headers, hub, onWarning } = options;
  const opening = { signal, headers, cache: cacheOf(platform, options), onWarning };
  if (typeof from === "string" && isHubName(from))
    return platform.open(hubUrl(from, hub), { ...opening, immutable: isPinned(from) });
  if (typeof from === "string" || from instanceof URL) return platform.open(from, opening);
  if (from instanceof Blob) return blobSource(from, platform.tidy);
  if (from instanceof ArrayBuffer) return bytesSource("the given bytes", new Uint8Array(from));
  if (from instanceof Uint8Array) return bytesSource("the given bytes", from);
  if (from instanceof Response) return (await import("../bytes/stream.ts")).responseSource(from, signal);
  if (from instanceof ReadableStream) return (await import("../bytes/stream.ts")).streamSource(from, { signal });
  const kinds = "a path, a URL, a Blob, bytes, a Response or a ReadableStream";
  throw new RwkvError("input", `${what} must be ${kinds}, not ${shown(from)}.`);
}

/** The cache that the option means, if any. */
function cacheOf(
  { cache, keeps, cacheIn }: Platform,
  { cache: wanted = keeps }: SourceOptions,
): DownloadCache | undefined {
  if (typeof wanted === "boolean") return wanted ? cache : undefined;
  if (typeof wanted === "string" && wanted !== "" && cacheIn) return cacheIn(wanted);
  if (typeof wanted === "object" && typeof wanted?.open === "function") return wanted;
  const path = cacheIn ? ", the path of a folder" : "";
  throw new RwkvError("input", `cache must be true, false${path} or a DownloadCache.`);
}
