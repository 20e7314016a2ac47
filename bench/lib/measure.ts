/** How long one call takes. */
import { measure as mitata } from "mitata";

export interface Time {
  /** Seconds: the quickest call, and the middle one. */
  best: number;
  median: number;
}

/**
 * Times a function of WebAssembly, for about `seconds` and at least five calls; calls of a few microseconds are timed by the
 * thousand. What others do on the machine only ever makes a call slower, so the quickest says most about the function.
 */
export async function measure(run: () => void, seconds = 0.1): Promise<Time> {
  const { min, p50 } = await mitata(run, {
    min_cpu_time: seconds * 1e9,
    min_samples: 5,
    batch_threshold: 5000,
    batch_samples: 1024,
    gc: () => {}, // nothing here makes garbage
  } as Parameters<typeof mitata>[1]);
  return { best: min / 1e9, median: p50 / 1e9 };
}

export { median } from "../../src/lab/numbers.ts";
