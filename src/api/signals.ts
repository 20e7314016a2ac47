/** Abort signals of several origins as one. (`AbortSignal.any` is younger than some runtimes that this runs in.) */

/** A signal that is aborted with the first of `signals`, and a function that ends the watch over them. */
export function anyOf(signals: readonly (AbortSignal | undefined)[]): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const ends: (() => void)[] = [];
  for (const signal of signals) {
    if (!signal) continue;
    const abort = () => controller.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    ends.push(() => signal.removeEventListener("abort", abort));
  }
  return {
    signal: controller.signal,
    release: () => {
      for (const end of ends) end();
    },
  };
}
