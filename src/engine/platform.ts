/** What the core asks of a runtime. `src/platform/` answers, one file per kind of runtime, all of the same shape. */

import type { DownloadCache } from "../bytes/cache.ts";
import type { HfTokenizer, JinjaTemplate, Source } from "../types.ts";
import type { Build } from "./kernels.ts";
import type { Order, Port, Reply, Request, Start } from "./protocol.ts";

/** A worker of ours, seen from the host. It begins with a `Start`; the leader then speaks the protocol, a follower takes orders. */
export interface WorkerHandle extends Port<Start | Request | Order, Reply> {
  /** Called once when the worker died without having been told to. */
  onDeath(listener: (reason: string) => void): void;
  /** Whether the process should stay alive for it. A new worker does not hold the process. */
  hold(yes: boolean): void;
  terminate(): void;
}

/** How what a path or URL names is opened. */
export interface OpenOptions {
  signal?: AbortSignal;
  /** Go with every request, if there are requests. */
  headers?: Readonly<Record<string, string>>;
  /** Where downloads are kept, if they are. */
  cache?: DownloadCache;
  /** The URL stands for the same bytes for ever. */
  immutable?: boolean;
  onWarning?: (message: string) => void;
}

export interface Platform {
  /** For messages and `info`: "node", "web", ... */
  readonly name: string;
  /** One of the builds, compiled. */
  kernels(build: Build): Promise<WebAssembly.Module>;
  /** The only build that there is, if there are no others. */
  readonly only?: Build;
  /** Starts a worker, where there are workers. */
  readonly spawn?: () => WorkerHandle;
  /** Whether workers can share a WebAssembly memory here and now. */
  readonly sharesMemory: boolean;
  readonly cores: number;
  /** Lets the event loop go round once. */
  breathe(): Promise<void>;
  /** Opens what a path or URL names. */
  open(where: string | URL, options?: OpenOptions): Promise<Source>;
  /** Called after every few megabytes of a download or a Blob: for runtimes that leave more garbage behind than memory should hold. */
  readonly tidy?: () => void;
  /** Where downloads are kept, and whether they are when nobody says. */
  readonly cache: DownloadCache;
  readonly keeps: boolean;
  /** Where they are kept in a folder, where there are folders. */
  readonly cacheIn?: (folder: string) => DownloadCache;
  /** The packed World vocabulary that comes with the package, read or fetched when it is needed. */
  worldVocabulary(): Promise<Uint8Array<ArrayBuffer>>;
  /** Imports the class `Tokenizer` of @huggingface/tokenizers, where packages are found by their names. */
  readonly hfTokenizer?: () => Promise<HfTokenizer>;
  /** The same for the class `Template` of @huggingface/jinja. */
  readonly jinja?: () => Promise<JinjaTemplate>;
}
