/** The worker's script, for all runtimes: finds its port, waits for its `Start`, becomes what it says. */

import type { Port, Reply, Request, Start } from "../engine/protocol.ts";
import { begin } from "../engine/worker.ts";

/** How long the engine may compute before it looks for messages. */
const INTERVAL = 4;

interface Scope {
  postMessage(message: Reply, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

async function main(): Promise<void> {
  const inBrowser = typeof process === "undefined" || !process.versions?.node;
  if (inBrowser) {
    const scope = self as unknown as Scope;
    const { port1, port2 } = new MessageChannel();
    const waiting: (() => void)[] = [];
    port1.onmessage = () => waiting.shift()?.();
    connect(
      (message, transfer) => scope.postMessage(message, transfer),
      (listener) => scope.addEventListener("message", ({ data }) => listener(data)),
      () =>
        new Promise<void>((resolve) => {
          waiting.push(resolve);
          port2.postMessage(0);
        }),
    );
  } else {
    const { parentPort } = await import("node:worker_threads");
    connect(
      (message, transfer) => parentPort!.postMessage(message, transfer),
      (listener) => void parentPort!.on("message", listener),
      () => new Promise<void>((resolve) => setImmediate(resolve)),
    );
  }
}

function connect(
  post: (message: Reply, transfer: ArrayBuffer[]) => void,
  listen: (listener: (message: Start | Request) => void) => void,
  breathe: () => Promise<void>,
): void {
  let hear: ((request: Request) => void) | undefined;
  const port: Port<Reply, Request> = {
    post: (message, transfer = []) => post(message, transfer),
    onMessage: (listener) => {
      hear = listener;
    },
  };
  listen((message) => {
    if (message.kind === "lead" || message.kind === "follow") {
      begin(message, port, { breathe, interval: INTERVAL });
    } else hear?.(message);
  });
}

void main();
