/**
 * What went wrong, as a word a program can test.
 *
 * - `input`: an argument, option or prompt is not acceptable.
 * - `weights`: a weights file is damaged or contradicts itself.
 * - `unsupported`: a sound file or option asks for something that does not exist here.
 * - `memory`: the model, or one more session, does not fit.
 * - `network`: a download failed.
 * - `state`: a saved session state is damaged or belongs to another model.
 * - `busy`: the session is already at work.
 * - `closed`: the model, session or source was closed.
 * - `engine`: the engine stopped: a thread died, or WebAssembly trapped.
 */
export type ErrorCode =
  | "input"
  | "weights"
  | "unsupported"
  | "memory"
  | "network"
  | "state"
  | "busy"
  | "closed"
  | "engine";

/** The one error type of this package. The message says what happened, to what, and what to do about it. */
export class RwkvError extends Error {
  override readonly name = "RwkvError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
