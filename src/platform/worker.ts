/** A worker's script, but for what kinds of workers differ in: waits for its `Start`, becomes what it says. */

import type { Order, Port, Reply, Request, Start } from "../engine/protocol.ts";
import { begin } from "../engine/worker.ts";

/** How long the engine may compute before it looks for messages. */
const INTERVAL = 4;

/** `breathe`: lets the event loop go round once. */
export function connect(
  post: (message: Reply, transfer: ArrayBuffer[]) => void,
  listen: (listener: (message: Start | Request | Order) => void) => void,
  breathe: () => Promise<void>,
): void {
  let hear: ((request: Request | Order) => void) | undefined;
  const port: Port<Reply, Request | Order> = {
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
