/** The parts of the package that are not its JavaScript: a platform is made of what the runtime can and where these lie. */

import type { Build } from "../engine/kernels.ts";

/** `Script`: a worker as the runtime has it. */
export interface Assets<Script> {
  /** The bytes of one build of the kernels. */
  kernels(build: Build): Promise<BufferSource>;
  /** Starts a worker with our script. */
  worker(): Script;
  /** The packed World vocabulary. */
  worldVocabulary(): Promise<Uint8Array<ArrayBuffer>>;
}
