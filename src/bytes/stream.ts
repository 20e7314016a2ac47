/**
 * Streams and responses as sources. A weights file cannot be read front to back only: its reader looks at the header more
 * than once, and takes tensors in the model's order. So a stream is read to its end first and held in memory.
 */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";
import { Blocks, blocksSource } from "./blocks.ts";
import { publicUrl, statusText } from "./url.ts";
import { unlessAborted } from "./wait.ts";

export interface StreamOptions {
  /** For messages. */
  name?: string;
  signal?: AbortSignal;
  /** The most bytes to hold. Default 4 GiB. */
  most?: number;
}

/**
 * Reads a stream of bytes to its end. What fails, or is aborted, cancels the stream.
 *
 * Errors: `input` for a stream that somebody else reads, or of other things than bytes; `memory` for more than `most`
 * bytes; `network` when the stream breaks; the signal's reason.
 */
export async function streamSource(stream: ReadableStream<Uint8Array>, options: StreamOptions = {}): Promise<Source> {
  const { name = "the given stream", signal, most } = options;
  signal?.throwIfAborted();
  if (stream.locked) throw new RwkvError("input", `${name} cannot be read: it was read before, or is being read`);
  const reader = stream.getReader();
  const blocks = new Blocks(name, 0, most);
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read().catch(broke), signal);
      if (done) return blocksSource(blocks);
      if (!ArrayBuffer.isView(value))
        throw new RwkvError("input", `${name} gives ${value === null ? "null" : typeof value}, not bytes (Uint8Array)`);
      blocks.append(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
  } catch (error) {
    reader.cancel(error).catch(() => {}); // the first error matters more
    throw error;
  }

  function broke(cause: unknown): never {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RwkvError("network", `${name} broke off after ${blocks.end} bytes: ${why}`, { cause });
  }
}

/**
 * Reads the body of a response that the caller has fetched. It is used as it is; nothing is requested again.
 *
 * Errors: those of `streamSource`; `network` for an answer that is not a whole file; `input` for one whose body was taken.
 */
export async function responseSource(response: Response, signal?: AbortSignal): Promise<Source> {
  const name = response.url ? publicUrl(response.url) : "the given response";
  if (response.type === "opaque")
    throw new RwkvError("input", `${name} is opaque: fetch it with the mode "cors", or from the page's own origin`);
  if (!response.ok) throw new RwkvError("network", `${name}: the server answered ${statusText(response)}`);
  if (response.status === 206)
    throw new RwkvError("input", `${name} holds only a part of the file (206); fetch it without the header "Range"`);
  if (response.bodyUsed) throw new RwkvError("input", `${name} cannot be read: its body was read before`);
  if (!response.body) return blocksSource(new Blocks(name));
  return streamSource(response.body, { name, signal });
}
