/** The script of web workers. */

import type { Reply } from "../engine/protocol.ts";
import { connect } from "./worker.ts";

interface Scope {
  postMessage(message: Reply, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

const scope = self as unknown as Scope;
const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];
port1.onmessage = () => waiting.shift()?.();

connect(
  (message, transfer) => scope.postMessage(message, transfer),
  (listener) => scope.addEventListener("message", ({ data }) => listener(data)),
  // A message to oneself comes back after everything that waits; timers would be held back to 4 ms.
  () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
      port2.postMessage(0);
    }),
);
