/** Brings a planned model's tensors into the engine, by range and piece by piece: the file is never in memory as a whole. */

import { PIECE } from "../../assembly/ops.ts";
import { hex8, xxhash32 } from "../bytes/hash.ts";
import type { EngineHost, Landing } from "../engine/host.ts";
import type { Rows } from "../engine/protocol.ts";
import type { EngineSpec, Load, Scaling } from "../engine/spec.ts";
import type { WeightType } from "../engine/weight-types.ts";
import type { Source, TensorInfo } from "../types.ts";

export interface LoadProgress {
  /** Bytes of the file's tensors that are in place, and in all. */
  loaded: number;
  total: number;
}

/** Bytes of one piece, unless 32 rows take more. */
const PIECE_BYTES = 1 << 20;

/** Rows and columns of a tensor as it lies in the file. */
function shapeInFile(load: Load): [rows: number, columns: number] {
  if (load.kind === "vector") return [1, load.count / load.times];
  return load.tensor.transposed ? [load.columns, load.rows] : [load.rows, load.columns];
}

/** Factors for `count` rows from `first` on, as they lie in the file. Buffers of their own, since they are sent. */
function factorsOf({ columns, rows }: Scaling, transposed: boolean, first: number, count: number): Rows["scaling"] {
  const [inColumns, inRows] = transposed ? [rows, columns] : [columns, rows];
  return {
    ...(inColumns && { columns: inColumns.slice().buffer }),
    ...(inRows && { rows: inRows.slice(first, first + count).buffer }),
  };
}

const mergeOf = (load: Load) => (load.kind === "matrix" ? load.merge : undefined);
const bytesOf = (load: Load): number =>
  load.tensor.bytes + (mergeOf(load)?.a.bytes ?? 0) + (mergeOf(load)?.b.bytes ?? 0);

/** Bytes of all tensors to be read. */
export const bytesOfAll = (loads: readonly Load[]): number => loads.reduce((sum, load) => sum + bytesOf(load), 0);

/** In the order of the file: over a network, stepping back costs a request. */
function inFileOrder(loads: readonly Load[]): Load[] {
  const files = new Map<Source, number>();
  for (const { tensor } of loads) if (!files.has(tensor.source)) files.set(tensor.source, files.size);
  return [...loads].sort(
    (a, b) => files.get(a.tensor.source)! - files.get(b.tensor.source)! || a.tensor.offset - b.tensor.offset,
  );
}

/**
 * Loads everything; answers the model's fingerprint, a hash over its small tensors, the same for all weight types. `tuned`: where
 * tensors come from that are not the model's own; all of them, and how they were merged, belong to the fingerprint. `before`: bytes that
 * were read already.
 */
export async function loadTensors(
  engine: EngineHost,
  spec: EngineSpec,
  loads: readonly Load[],
  onProgress?: (progress: LoadProgress) => void,
  signal?: AbortSignal,
  tuned: ReadonlySet<Source> = new Set(),
  before = 0,
): Promise<string> {
  const total = before + bytesOfAll(loads);
  let loaded = before;
  const flying = new Set<Promise<unknown>>();
  const landings = engine.landings();
  const inFlight = landings.length;
  // Buffers are used again: new ones for every piece would pile up until they are collected.
  const spent: ArrayBuffer[] = [];
  // The first failure ends what else is being read.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal!.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort);
  let failure: { error: unknown } | undefined;
  const digests: ArrayBufferView[] = [];
  // Matrices that are bf16 in truth; and those of which this is true only at first.
  const halved = new Set<number>();
  const again = new Set<Load>();

  /** Room for a hash of each row, however the rows will be cut into pieces. */
  const digestOf = (source: Source, rows: number): Uint32Array | undefined => {
    if (!tuned.has(source)) return undefined;
    const digest = new Uint32Array(rows);
    digests.push(digest);
    return digest;
  };
  const digestRows = (digest: Uint32Array | undefined, first: number, rows: number, bytes: Uint8Array): void => {
    const row = bytes.length / rows;
    for (let r = 0; digest && r < rows; r++) digest[first + r] = xxhash32(bytes.subarray(r * row, (r + 1) * row));
  };

  /** Starts the pieces of one tensor, a few at a time. */
  const stream = async (load: Load, mayHalve = spec.far): Promise<void> => {
    const { tensor, address } = load;
    const merge = mergeOf(load);
    const scaling = load.kind === "table" ? undefined : load.scaling;
    const [rows, columns] = shapeInFile(load);
    const rowBytes = tensor.bytes / rows;
    const most = Math.min(spec.stagingBytes, Math.max(PIECE_BYTES, rowBytes * PIECE));
    const step = Math.max(PIECE, Math.floor(most / rowBytes / PIECE) * PIECE);
    // Vectors are in the fingerprint as they are in memory.
    const own = load.kind === "vector" ? undefined : digestOf(tensor.source, rows);
    const change = merge && digestOf(merge.b.source, rows);
    const unchanged = load.kind === "matrix" && !(merge || scaling || own || tensor.transposed);
    let halve = mayHalve && unchanged && tensor.dtype === "f32" && load.type === "f32";

    /** A piece of a file, in a buffer that can be sent, and is used again. */
    const fetched = async (
      { source, offset }: TensorInfo,
      first: number,
      length: number,
    ): Promise<Uint8Array<ArrayBuffer>> => {
      const old = spent.pop();
      const into = old && old.byteLength >= length ? old : new ArrayBuffer(Math.max(length, most, PIECE_BYTES));
      const read = await source.read(offset + first, length, stop.signal, into);
      const bytes = new Uint8Array(into, 0, length);
      if (read.buffer !== into) bytes.set(read);
      return bytes;
    };

    /** A piece of the tensor where it is to land: in memory that is shared, or in a buffer that is sent. */
    const landed = async ({ shared }: Landing, first: number, length: number): Promise<Uint8Array> => {
      if (!shared) return await fetched(tensor, first, length);
      const into = shared.bytes.subarray(0, length);
      const { source, offset } = tensor;
      if (source.readInto) await source.readInto(offset + first, into, stop.signal);
      else {
        const bytes = await fetched(tensor, first, length);
        into.set(bytes);
        spent.push(bytes.buffer);
      }
      return into;
    };

    const launch = async (landing: Landing, first: number, count: number): Promise<void> => {
      const bytes = await landed(landing, first * rowBytes, count * rowBytes);
      digestRows(own, first, count, bytes);
      const buffers: ArrayBuffer[] = [];
      if (!landing.shared) buffers.push(bytes.buffer as ArrayBuffer);
      const job: Rows = {
        kind: load.kind,
        name: `${tensor.fileName} in ${tensor.source.name}`,
        address,
        from: tensor.dtype as WeightType,
        to: load.kind === "vector" ? "f32" : load.type,
        columns,
        first,
        rows: count,
        ...(load.kind === "vector" ? { form: load.form, times: load.times } : {}),
        ...(tensor.transposed ? { inputs: rows } : {}),
        ...(load.kind === "matrix" && load.searched ? { searched: true } : {}),
        ...(halve && { halve }),
        ...(scaling && { scaling: factorsOf(scaling, tensor.transposed, first, count) }),
        data: landing.shared?.address ?? (bytes.buffer as ArrayBuffer),
      };
      let { length } = bytes;
      if (merge) {
        const { b, rank, alpha, strength, scaled } = merge;
        const per = b.bytes / rows;
        const part = await fetched(b, first * per, count * per);
        digestRows(change, first, count, part);
        job.merge = {
          name: `${b.fileName} in ${b.source.name}`,
          from: b.dtype,
          rank,
          alpha,
          strength: strength * scaled,
          data: part.buffer,
        };
        buffers.push(part.buffer);
        length += part.length;
      }
      const done = await engine.pack(landing.rank, job, stop.signal, buffers);
      spent.push(...(done.spent ?? []));
      if (halve && done.halved) halved.add(address);
      else if (halve && first > 0) again.add(load);
      else halve = false;
      loaded += length;
      onProgress?.({ loaded, total });
    };

    for (let first = 0; first < rows && !failure; first += step) {
      const landing = landings.shift()!;
      const flight: Promise<unknown> = launch(landing, first, Math.min(step, rows - first))
        .catch((error) => {
          failure ??= { error };
          stop.abort(error);
        })
        .finally(() => {
          landings.push(landing);
          flying.delete(flight);
        });
      flying.add(flight);
      // The first rows say what becomes of the others.
      if (halve && first === 0) await flight;
      if (flying.size >= inFlight) await Promise.race(flying);
    }
  };

  // With a change in the order of the plan, which the fingerprint must not depart from.
  for (const load of tuned.size > 0 ? loads : inFileOrder(loads)) {
    const merge = mergeOf(load);
    if (merge) {
      // The change's half a is one matrix, of inputs x rank, in a place that serves one change after another.
      const { a, rank } = merge;
      const tensor = { ...a, shape: [a.shape[1]!, rank], transposed: true };
      const place = { address: spec.merging, rows: a.shape[1]!, columns: rank, bytes: 0 };
      digests.push(Float64Array.of(merge.strength, merge.alpha));
      await Promise.all(flying);
      await stream({ kind: "matrix", tensor, type: "f32", ...place });
      await Promise.all(flying);
    }
    await stream(load);
    // The place is for what is changed next.
    if (merge) await Promise.all(flying);
    if (failure) break;
  }
  await Promise.all(flying);
  for (const load of failure ? [] : again) {
    halved.delete(load.kind === "matrix" ? load.address : 0);
    loaded -= load.tensor.bytes;
    await stream(load, false);
  }
  await Promise.all(flying);
  signal?.removeEventListener("abort", onAbort);
  if (failure) throw failure.error;

  const vectors = loads.filter((load) => load.kind === "vector").map(({ address, count }) => ({ address, count }));
  const fingerprint = await engine.seal({ vectors, halved: [...halved] }, signal);
  return hex8(digests.reduce((hash, digest) => xxhash32(digest, hash), Number.parseInt(fingerprint, 16)));
}
