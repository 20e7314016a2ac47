/** What runs inside a worker: it becomes the leader, which owns an engine, or a follower, which only computes. */

import { Engine, type Surroundings } from "./engine.ts";
import { instantiate } from "./kernels.ts";
import type { Port, Reply, Request, Start } from "./protocol.ts";

/** Takes the first message of a worker. A follower is back when its team is poisoned; the host then ends its worker. */
export function begin(start: Start, port: Port<Reply, Request>, around: Surroundings): void {
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
}
