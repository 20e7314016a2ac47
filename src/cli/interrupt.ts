/** Ctrl-C and being told to end: the first time the command may finish what must be finished, the second time it is over. */

/** A command was ended by a signal, and has cleaned up. */
export class Interrupted extends Error {
  /** What shells expect: 128 and the signal's number. */
  readonly exitCode: number;

  constructor(signal: number) {
    super("interrupted");
    this.exitCode = 128 + signal;
  }
}

/** A signal that aborts, with `Interrupted` as its reason, when the process is told to end. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const [name, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(128 + number);
      controller.abort(new Interrupted(number));
    });
  }
  return controller.signal;
}
