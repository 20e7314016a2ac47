/** How long a model takes along a text: measured at marks, from the text's beginning, for reading and for writing. */

import type { Session } from "../api/session.ts";
import type { Loaded } from "./engine.ts";
import { median } from "./numbers.ts";

export const PHASES = ["prefill", "decode"] as const;
export type Phase = (typeof PHASES)[number];

/** One mark of a text. */
export interface Mark {
  tokens: number;
  /** From the beginning to here: the median of `runs`. */
  seconds: number;
  runs: number;
  /** For one token more, here: the mean of a few. */
  perToken: number;
}

export interface Along {
  marks: Mark[];
  /** Lengths that were not measured, because the time was up or would have been. */
  leftOut: number[];
}

/** Up to here a text is measured several times. */
const OFTEN = 1000;
const RUNS = { least: 3, most: 9 };
/** Tokens that tell how long one takes at a place: a full step of a prompt, and a few that are written. */
const PROBE = { prefill: 64, decode: 16 } as const;
/** Tokens of the text that warms everything up. */
const WARM = 200;

/** 10, 20, 50, 100, ... up to `most`. */
export function marksTo(most: number): number[] {
  const marks: number[] = [];
  for (let decade = 10; decade <= most; decade *= 10) marks.push(...[1, 2, 5].map((n) => n * decade));
  return marks.filter((mark) => mark <= most);
}

/** Token `i` of a text: different ones, as the same again and again would lie in the caches. */
const token = (i: number, vocab: number): number => 1 + (((i + 1) * 7919) % (vocab - 1));

/** Tokens that a text may be longer than its last mark. */
export const BEYOND = Math.max(...Object.values(PROBE)) + 1;

/** `seconds`: roughly how long it may take. `quadratic`: a token takes the longer the further it is. */
export async function along(
  model: Loaded,
  phase: Phase,
  marks: readonly number[],
  { seconds, quadratic, signal }: { seconds: number; quadratic: boolean; signal: AbortSignal },
): Promise<Along> {
  const { vocab } = model.config;
  const started = performance.now();
  const left = () => seconds - (performance.now() - started) / 1000;
  /** Takes a session `count` tokens on; answers seconds. */
  const go = async (session: Session, count: number): Promise<number> => {
    const from = session.position;
    const tokens = phase === "prefill" ? Uint32Array.from({ length: count }, (_, i) => token(from + i, vocab)) : [];
    const start = performance.now();
    if (phase === "prefill") await session.feed(tokens, { signal });
    else await session.generate([], { maxTokens: count, temperature: 0, stopTokens: [], signal }).result;
    return (performance.now() - start) / 1000;
  };
  const begin = async (): Promise<Session> => {
    const session = model.session();
    // Something must be there to continue.
    if (phase === "decode") await session.feed([1], { signal });
    return session;
  };
  const probe = async (session: Session): Promise<number> => {
    const fork = session.fork();
    try {
      return (await go(fork, PROBE[phase])) / PROBE[phase];
    } finally {
      await fork.close();
    }
  };

  const warm = await begin();
  await go(warm, Math.min(WARM, marks.at(-1)!));
  await warm.close();

  const runs = marks.map((): { total: number[]; perToken: number[] } => ({ total: [], perToken: [] }));
  const often = marks.filter((mark) => mark <= OFTEN);
  const third = seconds / 3;
  for (let run = 0; run < RUNS.most && (run < RUNS.least || left() > seconds - third); run++) {
    const session = await begin();
    let total = 0;
    for (const [i, mark] of often.entries()) {
      total += await go(session, mark - (often[i - 1] ?? 0));
      runs[i]!.total.push(total);
      runs[i]!.perToken.push(await probe(session));
    }
    await session.close();
  }

  const session = await begin();
  let total = 0;
  let leftOut: number[] = [];
  for (const [i, mark] of marks.entries()) {
    const before = marks[i - 1] ?? 0;
    const last = runs[i - 1]?.perToken.at(-1) ?? 0;
    const expected = last * (mark - before) * (quadratic && before > 0 ? (before + mark) / 2 / before : 1);
    if (mark > OFTEN && expected > left()) {
      leftOut = marks.slice(i);
      break;
    }
    total += await go(session, mark - before);
    if (mark <= OFTEN) continue;
    runs[i]!.total.push(total);
    runs[i]!.perToken.push(await probe(session));
  }
  await session.close();

  return {
    marks: marks.slice(0, marks.length - leftOut.length).map((tokens, i) => ({
      tokens,
      seconds: median(runs[i]!.total),
      runs: runs[i]!.total.length,
      perToken: median(runs[i]!.perToken),
    })),
    leftOut,
  };
}
