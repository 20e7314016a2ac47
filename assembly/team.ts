// A team of ranks, each in a worker of its own, goes through one program together. What they share is TEAM_* in `ops.ts`.
// Waiting: spin for a while, which is what a balanced program on free cores needs; then sleep, because a partner that lost its core
// will not come back sooner for our spinning, and may even want ours. How long a rank spins it learns for itself: longer as long
// as spinning succeeds, half as long each time it had to sleep after all. Nobody sleeps without looking: sleeps are timed, and after each the
// poison flag is read, so a dead partner ends the program instead of hanging it.

import {
  RUN_ABORTED,
  RUN_DONE,
  RUN_POISONED,
  TEAM_ABORT,
  TEAM_ARRIVED,
  TEAM_EPOCH,
  TEAM_IDLE,
  TEAM_PHASE,
  TEAM_POISON,
  TEAM_PROGRAM,
  TEAM_SLEEPERS,
  TEAM_VERDICT,
} from "./ops";

/** Rounds of spinning, some 100 microseconds to few: the most, and the least. */
const MOST_SPINS: i32 = 100000;
const LEAST_SPINS: i32 = 1000;
// Each rank's own: globals belong to an instance, and are not in the shared memory.
let fence_spins: i32 = MOST_SPINS;
let call_spins: i32 = MOST_SPINS;

function longer(spins: i32): i32 {
  return min(MOST_SPINS, spins + (spins >> 5) + 1);
}

function shorter(spins: i32): i32 {
  return max(LEAST_SPINS, spins >> 1);
}

/** One sleep at the barrier, and how many of them without any progress mean that a partner is gone. */
const NAP: i64 = 500_000_000;
const NAPS: i32 = 60;

/** Waits until all ranks have come; answers RUN_DONE, or what stops the program. All ranks get the same answer to an abort. */
export function fence(team: usize, ranks: i32): i32 {
  if (!ASC_FEATURE_THREADS) return RUN_DONE;
  if (ranks == 1) return atomic.load<i32>(team, TEAM_ABORT) ? RUN_ABORTED : RUN_DONE;
  const phase = atomic.load<i32>(team, TEAM_PHASE);
  if (atomic.add<i32>(team, 1, TEAM_ARRIVED) == ranks - 1) {
    atomic.store<i32>(team, 0, TEAM_ARRIVED);
    store<i32>(team, atomic.load<i32>(team, TEAM_ABORT), TEAM_VERDICT);
    atomic.store<i32>(team, phase + 1, TEAM_PHASE);
    if (atomic.load<i32>(team, TEAM_SLEEPERS)) atomic.notify(team + TEAM_PHASE, -1);
  } else {
    let spins = fence_spins;
    while (atomic.load<i32>(team, TEAM_PHASE) == phase) if (--spins == 0) break;
    if (spins > 0) fence_spins = longer(fence_spins);
    else {
      fence_spins = shorter(fence_spins);
      while (atomic.load<i32>(team, TEAM_PHASE) == phase) if (!doze(team, phase)) return RUN_POISONED;
    }
  }
  if (atomic.load<i32>(team, TEAM_POISON)) return RUN_POISONED;
  return load<i32>(team, TEAM_VERDICT) ? RUN_ABORTED : RUN_DONE;
}

/** Sleeps until the barrier opens; false when it never will. */
function doze(team: usize, phase: i32): bool {
  for (let nap = 0; nap < NAPS; nap++) {
    if (atomic.load<i32>(team, TEAM_POISON)) return false;
    atomic.add<i32>(team, 1, TEAM_SLEEPERS);
    atomic.wait<i32>(team + TEAM_PHASE, phase, NAP);
    atomic.sub<i32>(team, 1, TEAM_SLEEPERS);
    if (atomic.load<i32>(team, TEAM_PHASE) != phase) return true;
  }
  poison(team);
  return false;
}

/** Sends everybody home: those at the barrier, those waiting for a program. */
export function poison(team: usize): void {
  if (!ASC_FEATURE_THREADS) return;
  atomic.store<i32>(team, 1, TEAM_POISON);
  // A rank that has just read the old flag must not fall asleep on the old epoch: nothing would wake it.
  atomic.add<i32>(team, 1, TEAM_EPOCH);
  atomic.notify(team + TEAM_PHASE, -1);
  atomic.notify(team + TEAM_EPOCH, -1);
}

/** Rank 0: calls the others to a program. */
export function call(team: usize, program: usize): void {
  if (!ASC_FEATURE_THREADS) return;
  store<u32>(team, program, TEAM_PROGRAM);
  atomic.add<i32>(team, 1, TEAM_EPOCH);
  if (atomic.load<i32>(team, TEAM_IDLE)) atomic.notify(team + TEAM_EPOCH, -1);
}

/** The other ranks: waits for a program newer than `epoch`; false when there will be none. */
export function await_call(team: usize, epoch: i32): bool {
  if (!ASC_FEATURE_THREADS) return false;
  let spins = call_spins;
  while (atomic.load<i32>(team, TEAM_EPOCH) == epoch) if (--spins == 0) break;
  call_spins = spins > 0 ? longer(call_spins) : shorter(call_spins);
  while (atomic.load<i32>(team, TEAM_EPOCH) == epoch) {
    if (atomic.load<i32>(team, TEAM_POISON)) return false;
    atomic.add<i32>(team, 1, TEAM_IDLE);
    atomic.wait<i32>(team + TEAM_EPOCH, epoch, -1);
    atomic.sub<i32>(team, 1, TEAM_IDLE);
  }
  return atomic.load<i32>(team, TEAM_POISON) == 0;
}
