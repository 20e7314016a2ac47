/** Waiting that can be given up: every promise of this package settles at once when its signal is aborted. */

type Signals = readonly (AbortSignal | undefined)[];

/** Settles as `work` does, or rejects with a signal's reason as soon as that is aborted. `work` itself goes on. */
export function unlessAborted<T>(work: Promise<T>, ...signals: Signals): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const undo: (() => void)[] = [];
    const settle = (how: () => void) => {
      for (const step of undo) step();
      how();
    };
    work.then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
    for (const signal of signals) {
      if (!signal) continue;
      const stop = () => settle(() => reject(signal.reason));
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop);
      undo.push(() => signal.removeEventListener("abort", stop));
    }
  });
}

/** Settles as `work` does, or rejects with `late()` after `ms` milliseconds. */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alarm = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([work, alarm]);
  } finally {
    clearTimeout(timer);
  }
}

/** Nothing, for `ms` milliseconds. */
export async function pause(ms: number, ...signals: Signals): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await unlessAborted(over, ...signals);
  } finally {
    clearTimeout(timer);
  }
}
