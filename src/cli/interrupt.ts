/** Ctrl-C and being told to end: the first time the command may finish what must be finished, the second time it is over. */

/** A command was ended by a signal, and has cleaned up. */
export class Interrupted extends Error {
  override name = "Interrupted";
  /** What shells expect: 128 and the signal's number. */
  readonly exitCode: number;

  constructor(signal: number) {
    super("interrupted");
    this.exitCode = 128 + signal;
  }
}

export const SIGINT = 2;
export const SIGTERM = 15;

/** Has `told` called with the signal's number whenever the process is told to end. */
export function onInterrupt(told: (signal: number) => void): void {
  process.on("SIGINT", () => told(SIGINT));
  process.on("SIGTERM", () => told(SIGTERM));
}

/** A signal that aborts, with `Interrupted` as its reason, when the process is told to end. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  onInterrupt((signal) => {
    if (controller.signal.aborted) process.exit(128 + signal);
    controller.abort(new Interrupted(signal));
  });
  return controller.signal;
}
