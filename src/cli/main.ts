#!/usr/bin/env node
/** The program `rwkv`: finds the command, runs it, and turns whatever goes wrong into one sentence and an exit code. */

import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, type CommandDef, renderUsage } from "citty";
import { version } from "../../package.json";
import { type Command, type Group, readArguments, UsageError } from "./arguments.ts";
import type { Interrupted } from "./interrupt.ts";
import { hasColors, printable, write } from "./terminal.ts";

/** Each is loaded when it is asked for: the others cost it nothing. Without a prototype, so that `rwkv constructor` is no command. */
const program: Group = {
  meta: { name: "rwkv", description: "RWKV language models on the CPU" },
  commands: {
    __proto__: null!,
    run: async () => (await import("./run.ts")).run,
    chat: async () => (await import("./chat.ts")).chat,
    eval: async () => (await import("./eval.ts")).evaluate,
    bench: async () => (await import("./bench.ts")).bench,
    inspect: async () => (await import("./inspect.ts")).inspect,
    convert: async () => (await import("./convert.ts")).convert,
    quantize: async () => (await import("./convert.ts")).quantize,
    lab: async () => (await import("./lab.ts")).lab,
  },
};

/** What help is written from. */
const described = (command: Command | Group): CommandDef =>
  "commands" in command
    ? {
        meta: command === program ? { ...command.meta, version } : command.meta,
        subCommands: Object.fromEntries(
          Object.entries(command.commands).map(([name, load]) => [name, async () => described(await load())]),
        ),
      }
    : { meta: command.meta, args: command.args as ArgsDef };

const HELP = ["--help", "-h"];
const VERSION = ["--version", "-v"];

async function main([name, ...rest]: string[], group = program): Promise<void> {
  const parent = group === program ? undefined : group;
  if (name === undefined || HELP.includes(name)) return await help(group);
  if (!parent && VERSION.includes(name)) return await write(process.stdout, `${version}\n`);
  if (name.startsWith("-")) throw new UsageError(`unknown option ${name}`, parent?.meta.name);
  const command = await group.commands[name]?.();
  if (!command) throw new UsageError(`unknown command "${name}"`, parent?.meta.name);
  if ("commands" in command) return await main(rest, command);
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some((arg) => HELP.includes(arg))) return await help(command);
  await command.run(readArguments(command, rest));
}

async function help(command: Command | Group): Promise<void> {
  const parent = command === program ? undefined : described(program);
  const usage = (await renderUsage(described(command), parent)).replace(/ +$/gm, "").trimEnd();
  await write(process.stdout, `${hasColors(process.stdout) ? usage : stripVTControlCharacters(usage)}\n`);
}

function fail(error: unknown): void {
  // Not by its class: the experiments, which are a bundle of their own, have another one.
  if (error instanceof Error && error.name === "Interrupted") {
    process.exitCode = (error as Interrupted).exitCode;
    return;
  }
  process.exitCode = 1;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`rwkv: ${printable(message).replaceAll("\n", " ")}\n`);
  if (process.env.RWKV_DEBUG === "1" && error instanceof Error) console.error(error);
}

// Failed writes are heard of where they are made; that nobody reads what is said on standard error is no reason to crash.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
try {
  await main(process.argv.slice(2));
} catch (error) {
  fail(error);
}
