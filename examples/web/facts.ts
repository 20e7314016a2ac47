/** What the model is and how it runs, in words. */

import type { ModelInfo } from "rwkv-wasm";
import { $, bytes, count, make } from "./dom.ts";

const WAYS: Readonly<Record<ModelInfo["mode"], (threads: number) => string>> = {
  team: (threads) => `${count(threads, "thread")}, shared memory`,
  worker: () => "one worker",
  inline: () => "in the page's own thread",
};

/** 7.3 million */
const millions = (n: number): string =>
  n >= 1e9 ? `${(n / 1e9).toFixed(1)} billion` : `${(n / 1e6).toFixed(n < 1e8 ? 1 : 0)} million`;

export function showFacts(info: ModelInfo): void {
  const weights = Object.entries(info.weights).sort(([, a], [, b]) => b - a);
  const rows: [string, string][] = [
    ["Name", info.name],
    ["Kind", `RWKV-${info.version}`],
    ["Parameters", millions(info.parameters)],
    ["Layers", `${info.layers} of width ${info.width}`],
    ["Vocabulary", count(info.vocab, "token")],
    ["Weights", weights.map(([type, size]) => `${bytes(size)} ${type}`).join(", ")],
    ["Memory", bytes(info.memory)],
    ["Runs in", WAYS[info.mode](info.threads)],
    ["Kernels", info.build],
  ];
  $("facts", HTMLElement).replaceChildren(
    ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
  $("state-size", HTMLElement).textContent = bytes(info.stateBytes);
  $("model-name", HTMLElement).textContent = info.name;
}
