/** The package's parts as text inside a program, for entries that cannot have files beside them. The build puts them in. */

import type { Build } from "../engine/kernels.ts";

/** In base64: each build of the kernels, compressed by gzip. */
declare const EMBEDDED_KERNELS: Readonly<Record<Build, string>>;
/** The workers' script of this kind of runtime. */
declare const EMBEDDED_WORKER: string;
/** In base64: the packed World vocabulary. */
declare const EMBEDDED_WORLD: string;

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

export function kernels(build: Build): Promise<ArrayBuffer> {
  const packed = new Blob([bytesOf(EMBEDDED_KERNELS[build])]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export const workerScript = (): string => EMBEDDED_WORKER;

export const worldVocabulary = async (): Promise<Uint8Array<ArrayBuffer>> => bytesOf(EMBEDDED_WORLD);
