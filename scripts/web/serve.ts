/** A folder as a site on this machine. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";

export interface Site {
  /** `http://localhost:port/` */
  readonly url: string;
  close(): Promise<void>;
}

/** `isolated`: with the headers that give a page shared memory. `port` 0 is any that is free. */
export async function serveSite(folder: string, isolated: boolean, port = 0): Promise<Site> {
  const files = sirv(folder, { dev: true });
  const server = createServer((request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    files(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "localhost", resolve);
  });
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
