/**
 * How many ranks of a team compute a step. All of them, unless it was found that fewer are quicker: where other programs keep the cores
 * busy, ranks wait for each other's cores at every fence, and one alone may be twenty times as quick as two. The results are the same bits.
 *
 * It is found out by trying: now and then a few steps are computed by another number of ranks. What that may cost is bounded by a share of
 * the time since; a number that was slower is tried more and more seldom. Small steps and large ones are judged apart.
 */

/**
 * Steps of a trial. The first, for which ranks have to wake up, does not count; the middle one of the others does. One step is enough if it
 * takes so many milliseconds: all that happens beside it is small.
 */
const TRIAL = 4;
const LONG = 10;
/** A trial may take this part of the time since the last one. */
const SELDOM = 100;
const MOST_SELDOM = 400;
/** The same right after it was found that fewer are quicker: whatever kept the cores busy may soon be over, and then all are quicker by far. */
const AGAIN = 10;
/** The same while ranks wait for each other's cores, and nobody knows how quick another number would be. */
const SOON = 4;
/** Another number takes over only if it is quicker by more than what times vary by. */
const BETTER = 0.93;
/** The part of what is known that a new time makes up; and how many times as long as expected it counts for at most. */
const WEIGHT = 1 / 8;
const OUTLIER = 4;

/** Times are milliseconds per row. */
interface Size {
  readonly ranks: number;
  time: number | undefined;
}

/** Steps of about the same number of rows. */
class Steps {
  #sizes: Size[];
  #now: Size;
  /** Milliseconds since the last trial, and the least that such may be before the next, as a multiple of its cost. */
  #since = 0;
  #seldom = SELDOM;
  #next = 0;
  #trial: { size: Size; steps: number; times: number[] } | undefined;

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes.map((ranks) => ({ ranks, time: undefined }));
    this.#now = this.#sizes[0]!;
  }

  get ranks(): number {
    return (this.#trial?.size ?? this.#now).ranks;
  }

  took(milliseconds: number, rows: number, napped: boolean): void {
    // A clock that stood still is too coarse to judge by, as where it is kept so against spying.
    if (milliseconds <= 0) {
      this.#sizes = this.#sizes.slice(0, 1);
      this.#now = this.#sizes[0]!;
      this.#trial = undefined;
    }
    const time = milliseconds / rows;
    if (this.#trial) {
      const { size, steps, times } = this.#trial;
      if (times.push(time) < steps) return;
      size.time = steps === 1 ? time : times.slice(1).sort((a, b) => a - b)[(steps - 1) >> 1];
      this.#trial = undefined;
      this.#since = 0;
      if (!this.#change()) this.#seldom = Math.min(MOST_SELDOM, this.#seldom * 2);
      return;
    }
    const now = this.#now;
    now.time = now.time === undefined ? time : now.time + (Math.min(time, now.time * OUTLIER) - now.time) * WEIGHT;
    this.#since += milliseconds;
    if (this.#change()) return;
    const others = this.#sizes.filter((size) => size !== now);
    const other = others[this.#next % others.length];
    if (!other) return;
    // What is not known may take as much more as there are fewer ranks.
    const step = (other.time ?? (now.time * now.ranks) / Math.min(now.ranks, other.ranks)) * rows;
    const steps = step < LONG ? TRIAL : 1;
    const cost = step * steps;
    if (this.#since < cost * (napped && other.time === undefined ? SOON : this.#seldom)) return;
    this.#next++;
    this.#trial = { size: other, steps, times: [] };
  }

  /** Goes on with the quickest size; false if that is the one that it is. */
  #change(): boolean {
    const now = this.#now;
    for (const size of this.#sizes) {
      if (size.time !== undefined && size.time < (this.#now === now ? now.time! * BETTER : this.#now.time!))
        this.#now = size;
    }
    if (this.#now === now) return false;
    this.#since = 0;
    this.#seldom = this.#now.ranks < now.ranks ? AGAIN : SELDOM;
    return true;
  }
}

export class Crew {
  readonly #sizes: number[];
  #gathers = false;
  /** By the number of bits of how many rows there are. */
  readonly #steps: Steps[] = [];
  #last: Steps | undefined;

  /** Of a team of so many. Only divisors will be asked for: fences were planned for as many, and what these share out evenly those do too. */
  constructor(ranks: number) {
    this.#sizes = Array.from({ length: ranks }, (_, i) => ranks - i).filter((size) => ranks % size === 0);
  }

  /** How many ranks are to compute a step of so many rows. */
  of(rows: number): number {
    const kind = 32 - Math.clz32(rows);
    this.#steps[kind] ??= new Steps(this.#sizes);
    this.#last = this.#steps[kind];
    return this.#gathers ? this.#sizes[0]! : this.#last.ranks;
  }

  /**
   * After a step that was cut short: the next is of all ranks. A rank may not have read yet that it was to stop; only while it is waited for does
   * no other step write over that.
   */
  gather(): void {
    this.#gathers = true;
  }

  /** How long that took, and whether any rank waited for so long that another must have lost its core. */
  took(milliseconds: number, rows: number, napped: boolean): void {
    if (!this.#gathers) this.#last!.took(milliseconds, rows, napped);
    this.#gathers = false;
  }
}
