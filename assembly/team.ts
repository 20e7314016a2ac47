// A team of ranks, each in a worker of its own, goes through one program together. What they share is TEAM_* in `ops.ts`.
// Waiting: spin for about as long as waking up from a sleep takes, which is what a balanced program on free cores never needs to
// the end; then sleep, because a partner that lost its core will not come back sooner for our spinning. (A shorter spin makes
// sleepers of everybody: whoever waits for one that is waking up falls asleep in turn.) Nobody sleeps without looking: sleeps are timed, and after each the
// poison flag is read, so a dead partner ends the program instead of hanging it.

import {
  CALL_BYTES,
  CALL_EPOCH,
  CALL_IDLE,
  CALL_PROGRAM,
  CALL_RANKS,
  RUN_ABORTED,
  RUN_DONE,
  RUN_POISONED,
  TEAM_ABORT,
  TEAM_ARRIVED,
  TEAM_CALLS,
  TEAM_NAPS,
  TEAM_PHASE,
  TEAM_POISON,
  TEAM_RANKS,
  TEAM_SLEEPERS,
  TEAM_VERDICT,
} from "./ops";

/** Rounds of spinning: 60 to 100 microseconds. */
const SPINS: i32 = 200000;
/** A first sleep at the barrier, in nanoseconds: partners that have more to do than others are there before it ends, but no partner that lost its core. */
const WINK: i64 = 2_000_000;
/** One sleep after that, and how many of them without any progress mean that a partner is gone. */
const NAP: i64 = 500_000_000;
const NAPS: i32 = 60;

/** Waits until all ranks have come; answers RUN_DONE, or what stops the program. All ranks get the same answer to an abort. */
export function fence(team: usize, ranks: i32): i32 {
  if (!ASC_FEATURE_THREADS) return RUN_DONE;
  if (ranks == 1) {
    if (atomic.load<i32>(team, TEAM_POISON)) return RUN_POISONED;
    return atomic.load<i32>(team, TEAM_ABORT) ? RUN_ABORTED : RUN_DONE;
  }
  const phase = atomic.load<i32>(team, TEAM_PHASE);
  if (atomic.add<i32>(team, 1, TEAM_ARRIVED) == ranks - 1) {
    atomic.store<i32>(team, 0, TEAM_ARRIVED);
    store<i32>(team, atomic.load<i32>(team, TEAM_ABORT), TEAM_VERDICT);
    atomic.store<i32>(team, phase + 1, TEAM_PHASE);
    if (atomic.load<i32>(team, TEAM_SLEEPERS)) atomic.notify(team + TEAM_PHASE, -1);
  } else {
    let spins = SPINS;
    while (atomic.load<i32>(team, TEAM_PHASE) == phase) {
      if (--spins > 0) continue;
      if (!doze(team, phase)) return RUN_POISONED;
    }
  }
  if (atomic.load<i32>(team, TEAM_POISON)) return RUN_POISONED;
  return load<i32>(team, TEAM_VERDICT) ? RUN_ABORTED : RUN_DONE;
}

/** Sleeps until the barrier opens; false when it never will. */
function doze(team: usize, phase: i32): bool {
  for (let nap = 0; nap <= NAPS; nap++) {
    if (atomic.load<i32>(team, TEAM_POISON)) return false;
    sleep(team + TEAM_PHASE, phase, nap == 0 ? WINK : NAP, team + TEAM_SLEEPERS);
    if (atomic.load<i32>(team, TEAM_PHASE) != phase) return true;
    if (nap == 0) atomic.add<i32>(team, 1, TEAM_NAPS);
  }
  poison(team);
  return false;
}

/**
 * Sleeps while a word has this value; `sleepers` counts who does. A function of its own, long enough not to be inlined: the first compiler of V8 in
 * Node 20 forgets at a wait what the loop around it changed in locals of the same function.
 */
function sleep(word: usize, value: i32, nanoseconds: i64, sleepers: usize): void {
  atomic.add<i32>(sleepers, 1);
  atomic.wait<i32>(word, value, nanoseconds);
  atomic.sub<i32>(sleepers, 1);
}

/** Where a rank is called. */
// @ts-ignore: decorator
@inline
export function line(team: usize, rank: i32): usize {
  return team + TEAM_CALLS + <usize>rank * CALL_BYTES;
}

/** Sends everybody home: those at the barrier, those waiting for a program. */
export function poison(team: usize): void {
  if (!ASC_FEATURE_THREADS) return;
  atomic.store<i32>(team, 1, TEAM_POISON);
  atomic.notify(team + TEAM_PHASE, -1);
  for (let rank = 1; rank < TEAM_RANKS; rank++) {
    // A rank that has just read the old flag must not fall asleep on the old epoch: nothing would wake it.
    atomic.add<i32>(line(team, rank), 1, CALL_EPOCH);
    atomic.notify(line(team, rank) + CALL_EPOCH, -1);
  }
}

/**
 * Rank 0: calls the first `ranks` ranks to a program. Those beyond them hear nothing of it, and sleep on. Nobody is called twice before he has
 * come to the end, which is a fence.
 */
export function call(team: usize, program: usize, ranks: i32): void {
  if (!ASC_FEATURE_THREADS) return;
  for (let rank = 1; rank < ranks; rank++) {
    const at = line(team, rank);
    store<u32>(at, program, CALL_PROGRAM);
    store<i32>(at, ranks, CALL_RANKS);
    atomic.add<i32>(at, 1, CALL_EPOCH);
    if (atomic.load<i32>(at, CALL_IDLE)) atomic.notify(at + CALL_EPOCH, -1);
  }
}

/** The other ranks: waits for a call newer than `epoch`; false when there will be none. `at`: the rank's own line. */
export function await_call(team: usize, at: usize, epoch: i32): bool {
  if (!ASC_FEATURE_THREADS) return false;
  let spins = SPINS;
  while (atomic.load<i32>(at, CALL_EPOCH) == epoch) {
    if (--spins > 0) continue;
    if (atomic.load<i32>(team, TEAM_POISON)) return false;
    sleep(at + CALL_EPOCH, epoch, -1, at + CALL_IDLE);
  }
  return atomic.load<i32>(team, TEAM_POISON) == 0;
}
