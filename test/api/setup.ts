/**
 * What the tests of the public API share. They run in every runtime, against the built package: so they import nothing of Node, and open
 * files with `at`.
 */
import { type LoadOptions, load, type Model, type Session } from "rwkv-wasm";
import { hex8, xxhash32 } from "../../src/bytes/hash.ts";
import { at } from "../files.ts";

/** The model with two layers, in f32. */
export const V7 = "test/fixtures/v7.f32.gguf";

/** Loads a model, by default the small one; with two threads, where there are threads. */
export const open = (options: LoadOptions = {}, path = V7): Promise<Model> =>
  load(at(path), { threads: 2, ...options });

/** The small model in every way this runtime has: a team, one worker (which a build without threads wants), beside the caller. */
export async function openInAllModes(): Promise<[name: string, model: Model][]> {
  const alone = "process" in globalThis || "Worker" in globalThis ? { kernels: at("dist/kernels/plain.wasm") } : {};
  const models = new Map<string, Model>();
  for (const options of [{ threads: 2 }, { threads: 1 }, alone, { threads: 0 }]) {
    const model = await open(options);
    const { mode, threads } = model.info;
    const name = mode === "team" ? `team of ${threads}` : mode;
    if (models.has(name)) await model.close();
    else models.set(name, model);
  }
  return [...models];
}

/** Token ids that look like nothing, below 260. */
export const ids = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, i) => ((i + first) * 37 + 11) % 260);

export const hashOf = (rows: Iterable<ArrayBufferView>): string => {
  let hash = 0;
  for (const row of rows) hash = xxhash32(row, hash);
  return hex8(hash);
};

/** A saved state's header, and its numbers by part. */
export function parse(saved: Uint8Array): {
  header: { position: number; fingerprint: string; parts: [name: string, shape: number[]][] };
  parts: Map<string, Float32Array>;
  numbers: Float32Array;
} {
  const length = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(saved.subarray(12, 12 + length)));
  const numbers = new Float32Array(saved.slice(12 + length).buffer);
  const parts = new Map<string, Float32Array>();
  let at = 0;
  for (const [name, shape] of header.parts as [string, number[]][]) {
    const count = shape.reduce((a, b) => a * b, 1);
    parts.set(name, numbers.subarray(at, at + count));
    at += count;
  }
  return { header, parts, numbers };
}

/** What tells two sessions apart: where they stand, and every bit of their states. */
export async function standing(session: Pick<Session, "save">): Promise<string> {
  const { header, numbers } = parse(await session.save());
  return `${header.position} ${hashOf([numbers])}`;
}

/** Where a session stands that has taken in just these tokens. `model`: of the package or of its sources. */
export async function standingAfter(
  model: { session(): Pick<Session, "save" | "feed" | "close"> },
  tokens: readonly number[],
): Promise<string> {
  const session = model.session();
  await session.feed(tokens);
  const found = await standing(session);
  await session.close();
  return found;
}
