/**
 * Guesses by a smaller model of the same vocabulary. The draft model follows the text in a session of its own; whenever the target model
 * has told of its tokens, the draft takes them in, says what it would go on with, and goes back to where it was. The target checks that
 * in one step (`engine/generating.ts`), so what the draft says decides how fast the text comes, never which text.
 */

import type { Listener, Running } from "../engine/host.ts";
import type { Sampling } from "../engine/sampler.ts";
import { RwkvError } from "../errors.ts";
import type { Drafter, Wanted } from "../generate.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Session, type Shared } from "./session.ts";

/** @internal A draft model, perhaps with a session of it that stands where the target's session does. */
export interface DraftSource {
  shared: Shared;
  session?: Session;
}

/** @internal What there is to guess for. */
export interface Target {
  shared: Shared;
  /** Where its session stands, what that takes in first, and what is wanted then. */
  position: number;
  prompt: Uint32Array;
  wanted: Wanted;
}

/**
 * Starts a generation that a draft guesses for; `start` does so, with the listener that it is given. When it is settled, the draft's session,
 * if it was one, is fed what the target's has taken in. Throws `RwkvError` "input" for a draft that is none or of another vocabulary.
 */
export async function drafted(
  target: Target,
  drafter: Drafter,
  listener: Listener,
  signal: AbortSignal,
  start: (listener: Listener) => Running,
): Promise<Running> {
  const source = sourceOf(drafter);
  checkVocabulary(target.shared, source.shared);
  const place = await source.shared.inner.wait(signal);
  const draft = new Draft(source, place, target.wanted);
  let running: Running;
  try {
    signal.throwIfAborted();
    running = start({
      ...listener,
      tokens: (ids, scores, guessed) => {
        draft.hear(ids);
        listener.tokens?.(ids, scores, guessed);
      },
    });
  } catch (error) {
    await draft.close();
    throw error;
  }
  draft.follow(target.prompt, running);
  let kept: number[] | undefined;
  const finish = async () => {
    try {
      const done = await running.done;
      if (draft.failure) throw draft.failure.error;
      // What the target's session has taken in may end within the prompt.
      const text = kept && [...target.prompt, ...kept].slice(0, done.position! - target.position);
      if (text) await source.session?.feed(text);
      return done;
    } finally {
      await draft.close();
    }
  };
  return {
    ...running,
    done: finish(),
    settle: (keep, then = new Uint32Array(), hurry = false) => {
      kept = keep === undefined ? undefined : [...draft.heard.slice(0, keep), ...then];
      running.settle(keep, then, hurry);
    },
  };
}

class Draft {
  /** All tokens that the target told of. */
  readonly heard: number[] = [];
  failure: { error: unknown } | undefined;
  readonly #source: DraftSource;
  readonly #place: number;
  readonly #wanted: Wanted;
  readonly #session: Session;
  readonly #sampling: Sampling;
  /** How many of them the draft's session has taken in. */
  #taken = 0;
  #target: Running | undefined;
  /** What the draft is at. */
  #drafting: Running | undefined;
  /** One thing after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(source: DraftSource, place: number, wanted: Wanted) {
    this.#source = source;
    this.#place = place;
    this.#wanted = wanted;
    this.#session = new Session(source.shared, { session: source.session, inner: place });
    // The same draws as the target's; what counts tokens would have to be told of those that were wrong.
    this.#sampling = {
      ...wanted.sampling,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      penalizePrompt: false,
      dry: undefined,
      mirostat: undefined,
    };
  }

  /** Reads the prompt, as the target does meanwhile, and then proposes whenever there are tokens. */
  follow(prompt: Uint32Array, target: Running): void {
    this.#target = target;
    this.#then(() => this.#session.feed(prompt));
  }

  hear(tokens: Uint32Array): void {
    this.heard.push(...tokens);
    this.#then(() => this.#propose());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#drafting?.settle(undefined, undefined, true);
    await this.#work;
    await this.#session.close();
  }

  #then(work: () => Promise<unknown>): void {
    this.#work = this.#work.then(async () => {
      if (this.#closed || this.failure) return;
      try {
        await work();
      } catch (error) {
        this.failure = { error };
        this.#target!.settle(undefined);
      }
    });
  }

  async #propose(): Promise<void> {
    const said = this.heard.length;
    if (this.#taken === said) return;
    const tokens = Uint32Array.from(this.heard.slice(this.#taken));
    const count = this.#wanted.speculate!.tokens;
    const guesses: number[] = [];
    const { engine } = this.#source.shared;
    await new Promise<void>((resolve, reject) => {
      const drafting = engine.generate(
        {
          session: this.#place,
          tokens,
          sampling: this.#sampling,
          firstStep: said,
          maxTokens: count,
          maxTime: Number.POSITIVE_INFINITY,
          stopTokens: [],
          keeps: true,
          until: Number.POSITIVE_INFINITY,
        },
        { tokens: (ids) => void guesses.push(...ids), ended: () => drafting.settle(0) },
      );
      this.#drafting = drafting;
      drafting.done.then(() => resolve(), reject);
    });
    this.#drafting = undefined;
    this.#taken = said;
    this.#target!.propose(guesses);
  }
}

function sourceOf(drafter: Drafter): DraftSource {
  const { drafter: open } = (drafter ?? {}) as { drafter?: () => DraftSource };
  if (typeof open === "function") return open.call(drafter);
  throw new RwkvError("input", "speculate.draft must be a model, or a session of one.");
}

const same = new WeakMap<Tokenizer, WeakSet<Tokenizer>>();

/** Throws `RwkvError` "input" unless every id means the same bytes to both. */
function checkVocabulary(target: Shared, draft: Shared): void {
  const [ours, theirs] = [target.spec.vocab, draft.spec.vocab];
  if (ours !== theirs) {
    throw new RwkvError(
      "input",
      `The draft model has ${theirs} tokens, this one ${ours}: it has to be the same vocabulary.`,
    );
  }
  const [a, b] = [target.text.tokenizer, draft.text.tokenizer];
  if (a === b || (a && b && same.get(a)?.has(b))) return;
  if (!a || !b) {
    throw new RwkvError(
      "input",
      "Only one of this model and the draft model has a tokenizer: load both with the same.",
    );
  }
  for (let id = 0; id < ours; id++) {
    const [x, y] = [a.bytes(id), b.bytes(id)];
    if (x.length === y.length && x.every((byte, i) => byte === y[i])) continue;
    throw new RwkvError(
      "input",
      `Token ${id} of the draft model is another than this model's: it has to be the same vocabulary.`,
    );
  }
  const known = same.get(a) ?? new WeakSet();
  same.set(a, known.add(b));
}
