/** The model that comes with the page: downloaded once, then kept for visits without a network. */

/** Set by the build: where the model is, and a name that changes with its content. */
declare const MODEL: { path: string; name: string; cache: string };

/** Called with how much of the file is there, from 0 to 1. */
type Progress = (share: number) => void;

export async function shippedModel(onProgress: Progress, signal: AbortSignal): Promise<File> {
  // Without a secure connection there is no cache, but a model all the same.
  const cache = await globalThis.caches?.open(MODEL.cache).catch(() => undefined);
  const kept = await cache?.match(MODEL.path);
  const blob = kept ? await kept.blob() : await fetchWhole(onProgress, signal);
  if (!kept) await cache?.put(MODEL.path, new Response(blob)).catch(() => {});
  return new File([blob], MODEL.name);
}

/** Whether it is kept. */
export async function isKept(): Promise<boolean> {
  return (await globalThis.caches?.match(MODEL.path)) !== undefined;
}

async function fetchWhole(onProgress: Progress, signal: AbortSignal): Promise<Blob> {
  const response = await fetch(MODEL.path, { signal }).catch((cause) => {
    signal.throwIfAborted();
    throw new Error("The model could not be fetched: there seems to be no network.", { cause });
  });
  if (!response.ok || !response.body)
    throw new Error(`The model could not be fetched: the server answered ${response.status}.`);
  const size = Number(response.headers.get("Content-Length"));
  let fetched = 0;
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      fetched += chunk.length;
      if (size > 0) onProgress(Math.min(1, fetched / size));
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(counted)).blob();
}
