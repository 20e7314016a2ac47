/** What runs inside a worker: it becomes the leader, which owns an engine, or a follower, which packs weights and then only computes. */

import { Engine, known, type Surroundings } from "./engine.ts";
import { instantiate } from "./kernels.ts";
import type { Order, Port, Reply, Request, Start } from "./protocol.ts";
import { Store } from "./store.ts";

/** Takes the first message of a worker. */
export function begin(start: Start, port: Port<Reply, Request | Order>, around: Surroundings): void {
  if (start.kind === "lead") {
    const shared = start.memory !== undefined;
    // In shared memory the host can cut a step short; else a step must end before a message is heard.
    new Engine(
      start.spec,
      start.module,
      start.memory,
      port as Port<Reply, Request>,
      shared ? around : { ...around, longestStep: 50 },
    );
    return;
  }
  const { spec, memory, rank } = start;
  const kernels = instantiate(start.module, memory);
  const store = new Store(spec, memory, kernels, rank);
  port.onMessage((order) => {
    if (order.kind === "rows") {
      try {
        store.answer(order, port);
      } catch (error) {
        const { code, message } = known(error);
        port.post({ kind: "error", job: order.job, code, message });
      }
    } else if (order.kind === "join") follow();
  });

  /** Is back when the team is poisoned; the host then ends this worker. */
  function follow(): void {
    try {
      kernels.follow(spec.team, rank);
    } catch (error) {
      kernels.poison(spec.team);
      throw error;
    }
  }
}
