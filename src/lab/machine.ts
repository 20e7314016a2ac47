/** Where figures were taken: they mean nothing without it. */

import { availableParallelism, cpus, totalmem } from "node:os";

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  runtime: string;
}

export function machine(): Machine {
  const { bun, deno, node } = process.versions;
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    runtime: bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`,
  };
}

export const machineText = ({ cpu, cores, memoryGiB, runtime }: Machine): string =>
  `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${runtime}`;
