// The other runtimes the tests run in. Programs come from test/runtimes/package.json (`npm ci --prefix test/runtimes`,
// which `npm test` does by itself).
import { existsSync } from "node:fs";
import { type Finished, run } from "../../scripts/program.ts";

export interface Runtime {
  name: string;
  /** Where its program is, if it is one. */
  command?: string;
  /** Runs a JavaScript module to its end, from the repository's root; `limit` in seconds. Programs take arguments. */
  run(file: string, limit: number, args?: string[]): Promise<Finished>;
}

const machine = `${process.platform}-${process.arch}`;
const deno = { "linux-x64": "linux-x64-glibc", "linux-arm64": "linux-arm64-glibc", "darwin-arm64": "darwin-arm64" };
const bun = { "linux-x64": "linux-x64", "linux-arm64": "linux-aarch64", "darwin-arm64": "darwin-aarch64" };

/** A runtime that is a program in an installed package. */
function program(name: string, path: string, options: string[] = []): Runtime {
  const command = `test/runtimes/node_modules/${path}`;
  return {
    name,
    command,
    async run(file, limit, args = []) {
      if (!existsSync(command)) throw new Error(`${command} is missing: run npm ci --prefix test/runtimes`);
      return run(command, [...options, file, ...args], limit);
    },
  };
}

/** A Node that does without the CPU's dot product of four bytes. Empty where there is none. */
export function withoutDotProduct(): Runtime[] {
  if (machine !== "linux-x64") return [];
  return [program("Node 24 without AVX-VNNI", `node24-${machine}/bin/node`, ["--no-enable-avx-vnni"])];
}

/** Deno, Bun and the versions of Node that this process is not. Empty on machines without packages of them. */
export function programs(): Runtime[] {
  if (!(machine in deno)) return [];
  const key = machine as keyof typeof deno;
  const own = process.versions.node.split(".")[0];
  return [
    ...["22", "24", "26"]
      .filter((version) => version !== own)
      .map((version) => program(`Node ${version}`, `node${version}-${machine}/bin/node`, ["--enable-source-maps"])),
    // Without a lock file: Deno would write one of its own into the repository.
    program("Deno", `@deno/${deno[key]}/deno`, ["run", "--allow-all", "--no-lock"]),
    program("Bun", `@oven/bun-${bun[key]}/bin/bun`),
  ];
}
