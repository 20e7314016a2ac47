/** Threads for benchmarks of kernels: instances over one shared memory that follow whoever leads. */
import { Worker } from "node:worker_threads";
import { TEAM_BYTES } from "../../assembly/ops.ts";
import type { Arena } from "../../src/engine/memory.ts";

const FOLLOW = `
  const { workerData: { module, memory, team, rank } } = require("node:worker_threads");
  new WebAssembly.Instance(module, { env: { memory } }).exports.follow(team, rank);
`;

/** What the module exports, as far as a team is concerned. */
interface Leader {
  poison(team: number): void;
}

export class Team {
  /** Address of what the ranks share. */
  readonly address: number;
  readonly ranks: number;
  readonly #leader: Leader;
  readonly #workers: Worker[];

  /** Starts `ranks` - 1 workers, which call the module's `follow`. The caller is rank 0. */
  constructor(leader: Leader, module: WebAssembly.Module, memory: WebAssembly.Memory, arena: Arena, ranks: number) {
    this.address = arena.alloc(TEAM_BYTES);
    this.ranks = ranks;
    this.#leader = leader;
    const workerData = { module, memory, team: this.address };
    this.#workers = Array.from(
      { length: ranks - 1 },
      (_, i) => new Worker(FOLLOW, { eval: true, workerData: { ...workerData, rank: i + 1 } }),
    );
  }

  /** Resolves when all workers have ended. */
  async end(): Promise<void> {
    const gone = this.#workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
    this.#leader.poison(this.address);
    await Promise.all(gone);
  }
}
