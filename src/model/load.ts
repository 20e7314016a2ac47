/** Brings a planned model's tensors into the engine, by range and piece by piece: the file is never in memory as a whole. */

import { PIECE } from "../../assembly/ops.ts";
import type { EngineHost } from "../engine/host.ts";
import type { EngineSpec, Load, WeightType } from "../engine/planner.ts";
import type { Done, Rows } from "../engine/protocol.ts";

export interface LoadProgress {
  /** Bytes of the file's tensors that are in place, and in all. */
  loaded: number;
  total: number;
}

/** Pieces on their way: one is being read while another is being packed. */
const IN_FLIGHT = 3;
/** Bytes of one piece, unless 32 rows take more. */
const PIECE_BYTES = 1 << 20;

/** Rows and columns of a tensor as it lies in the file. */
function shapeInFile(load: Load): [rows: number, columns: number] {
  if (load.kind === "vector") return [1, load.count / load.times];
  return load.tensor.transposed ? [load.columns, load.rows] : [load.rows, load.columns];
}

/** Loads everything; answers the model's fingerprint, a hash over its small tensors, the same for all weight types. */
export async function loadTensors(
  engine: EngineHost,
  spec: EngineSpec,
  loads: readonly Load[],
  onProgress?: (progress: LoadProgress) => void,
  signal?: AbortSignal,
): Promise<string> {
  const total = loads.reduce((sum, load) => sum + load.tensor.bytes, 0);
  let loaded = 0;
  const flying = new Set<Promise<unknown>>();
  let failure: { error: unknown } | undefined;
  const send = (rows: Rows): Promise<Done> => engine.request({ kind: "rows", rows }, {}, signal, [rows.bytes.buffer]);

  const launch = async (rows: Omit<Rows, "bytes">, load: Load, offset: number, length: number): Promise<void> => {
    const bytes = await load.tensor.source.read(offset, length, signal);
    await send({ ...rows, bytes });
    loaded += length;
    onProgress?.({ loaded, total });
  };

  // In the order of the file: over a network, stepping back costs a request.
  const files = new Map<unknown, number>();
  for (const { tensor } of loads) if (!files.has(tensor.source)) files.set(tensor.source, files.size);
  const inOrder = [...loads].sort(
    (a, b) => files.get(a.tensor.source)! - files.get(b.tensor.source)! || a.tensor.offset - b.tensor.offset,
  );

  for (const load of inOrder) {
    const { tensor, address } = load;
    const [rows, columns] = shapeInFile(load);
    const from = tensor.dtype as WeightType;
    const to = load.kind === "vector" ? "f32" : load.type;
    const rowBytes = tensor.bytes / rows;
    const most = Math.min(spec.stagingBytes, Math.max(PIECE_BYTES, rowBytes * PIECE));
    const step = Math.max(PIECE, Math.floor(most / rowBytes / PIECE) * PIECE);
    for (let first = 0; first < rows; first += step) {
      const count = Math.min(step, rows - first);
      const job = {
        kind: load.kind,
        name: tensor.fileName,
        address,
        from,
        to,
        columns,
        first,
        rows: count,
        ...(load.kind === "vector" ? { form: load.form, times: load.times } : {}),
        ...(tensor.transposed ? { inputs: rows } : {}),
      };
      const flight: Promise<unknown> = launch(job, load, tensor.offset + first * rowBytes, count * rowBytes)
        .catch((error) => {
          failure ??= { error };
        })
        .finally(() => flying.delete(flight));
      flying.add(flight);
      if (flying.size >= IN_FLIGHT) await Promise.race(flying);
      if (failure) break;
    }
    if (failure) break;
  }
  await Promise.all(flying);
  if (failure) throw failure.error;

  const vectors = loads.filter((load) => load.kind === "vector").map(({ address, count }) => ({ address, count }));
  const { fingerprint } = await engine.request({ kind: "seal", vectors }, {}, signal);
  return fingerprint!;
}
