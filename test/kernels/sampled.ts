/** A sampler area in a test's memory, written and used as the engine does. */
import { SAMPLER_STEP } from "../../assembly/ops.ts";
import { type Sampling, samplerMask, writeSampling } from "../../src/engine/sampler.ts";
import type { Region } from "./arena.ts";
import type { Setting } from "./harness.ts";

/** Every option off: each token by its probability. */
export const OFF: Sampling = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  typicalP: 1,
  topNSigma: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyDecay: 1,
  penalizePrompt: false,
  seed: [1, 0],
};

export class Sampler {
  readonly area: Region;
  readonly seed: bigint;
  readonly #setting: Setting;
  readonly #vocab: number;
  readonly #logits: Region;
  readonly #work: Region;

  /** Takes the memory of the sampler before. */
  constructor(setting: Setting, sampling: Sampling, vocab: number) {
    const { arena, unguarded: kernels } = setting;
    arena.reset();
    this.#setting = setting;
    this.#vocab = vocab;
    this.area = arena.output(kernels.sampler_bytes(vocab));
    this.#logits = arena.output(vocab * 4);
    this.#work = arena.output(kernels.sampler_work(vocab));
    this.seed = (BigInt(sampling.seed[1]) << 32n) | BigInt(sampling.seed[0]);
    writeSampling(kernels, arena.memory, this.area.at, vocab, sampling);
  }

  /** A draw from these logits, which must stay as they are, by step. `quick`: without looking at the guard zones each time. */
  of(logits: Float32Array, quick = false): (step: number) => number {
    const { kernels, unguarded } = this.#setting;
    this.#logits.f32.set(logits);
    const { sample } = quick ? unguarded : kernels;
    return (step) => {
      this.area.u32[SAMPLER_STEP / 4] = step;
      return sample(this.#logits.at, this.#vocab, this.area.at, this.#work.at);
    };
  }

  sample(logits: Float32Array, step: number): number {
    const token = this.of(logits)(step);
    if (Buffer.compare(this.#logits.u8, new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength)))
      throw new Error("sample changed the logits");
    return token;
  }

  accept(token: number): void {
    this.#setting.kernels.accept(this.area.at, this.#vocab, token);
  }

  counts(): Float32Array {
    const first = this.#setting.unguarded.sampler_counts(this.#vocab) / 4;
    return this.area.f32.subarray(first, first + this.#vocab);
  }

  /** The mask, which is in use from now on. */
  mask(): Uint32Array {
    return samplerMask(this.#setting.unguarded, this.#setting.arena.memory, this.area.at, this.#vocab);
  }

  /**
   * What is taken from each token's logit, to within 1e-4, found out by greedy draws against the last token, which must not have come
   * before: how high a logit loses to 0. The temperature must be 0.
   */
  penalties(): number[] {
    const last = this.#vocab - 1;
    return Array.from({ length: last }, (_, token) => {
      let [loses, wins] = [-1, 1000];
      while (wins - loses > 1e-4) {
        const height = (loses + wins) / 2;
        const logits = new Float32Array(this.#vocab).fill(-1e6);
        logits[last] = 0;
        logits[token] = height;
        if (this.of(logits, true)(0) === token) wins = height;
        else loses = height;
      }
      return wins;
    });
  }
}
