/** What runs inside a worker: it becomes the leader, which owns an engine, or a follower, which only computes. */

import { TEAM_POISON } from "../../assembly/ops.ts";
import { Engine, type Surroundings } from "./engine.ts";
import { instantiate } from "./kernels.ts";
import type { Port, Reply, Request, Start } from "./protocol.ts";

/** Takes the first message of a worker. `exit` ends the worker. */
export function begin(start: Start, port: Port<Reply, Request>, around: Surroundings, exit: () => void): void {
  if (start.kind === "lead") {
    const shared = start.memory !== undefined;
    // In shared memory the host can cut a step short; else a step must end before a message is heard.
    new Engine(start.spec, start.module, start.memory, port, shared ? around : { ...around, longestStep: 50 });
    return;
  }
  const { spec, memory, rank } = start;
  const kernels = instantiate(start.module, memory);
  try {
    kernels.follow(spec.team, rank, spec.ranks);
  } catch (error) {
    kernels.poison(spec.team);
    throw error;
  }
  // Back only when the team was told to go home.
  if (Atomics.load(new Int32Array(memory.buffer, spec.team), TEAM_POISON / 4)) exit();
}
