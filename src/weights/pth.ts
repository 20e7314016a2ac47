/**
 * Opens PyTorch's `.pth` files as torch.save writes them: since version 1.6 a zip archive with a pickle and one file for each
 * storage, before that several pickles and then the storages, one after the other.
 */
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { nameTensors } from "./names.ts";
import { namingOf } from "./names-hf.ts";
import { MOST, readPickle } from "./pickle.ts";
import { readTorchPickle, type Storage, tensorsOf } from "./torch.ts";
import { dataOffset, readZip, type ZipEntry } from "./zip.ts";

/** Small reads that are on their way at the same time: over a network, waiting for each would take minutes. */
const IN_FLIGHT = 16;

/**
 * Opens a source that holds a zip archive of torch.save.
 *
 * Errors: `weights`, naming file and tensor or place, when it is damaged or cut off; `unsupported` for archives that are
 * something else, and for what `readTorchPickle` and `nameTensors` refuse.
 */
export async function openPth(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  const { name } = source;
  const entries = await readZip(source, signal);
  const pickled = [...entries.values()].find((entry) => /^[^/]+\/data\.pkl$/.test(entry.name));
  if (!pickled)
    throw new RwkvError(
      "unsupported",
      `${name} is a zip archive, but not one of torch.save: it has no data.pkl in a folder`,
    );
  const folder = pickled.name.slice(0, -"data.pkl".length);
  if (entries.has(`${folder}constants.pkl`))
    throw new RwkvError("unsupported", `${name} is a TorchScript program, not a checkpoint; take the original .pth`);
  const order = entries.get(`${folder}byteorder`);
  if (order && (await readText(source, order, signal)) !== "little")
    throw new RwkvError("unsupported", `${name} was saved on a big-endian machine; load and save it on another one`);
  const bytes = await readEntry(source, pickled, MOST.bytes, signal);
  const { value, storages } = await readTorchPickle(name, bytes);

  const places = new Map<Storage, number>();
  await inTurns([...storages.values()], async (storage) => {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry) throw new RwkvError("weights", `${name}: it lacks storage "${storage.key}"; the file is damaged`);
    if (entry.size < storage.length * storage.width)
      throw new RwkvError(
        "weights",
        `${name}: storage "${storage.key}" has ${entry.size} bytes instead of ${storage.length * storage.width}; the file is damaged`,
      );
    places.set(storage, await dataOffset(source, entry, signal));
  });
  return fileOf(source, value, places);
}

/** What every older file begins with: a pickle of a number that only PyTorch's files have, and one of version 1001. */
/* biome-ignore format: bytes */
const MAGIC = Uint8Array.of(
  0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  0x80, 2, 0x4d, 0xe9, 0x03, 0x2e,
);

/** Opens a source that holds the older form, which begins with a pickle. Errors: as `openPth`. */
export async function openLegacyPth(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  const { name, size } = source;
  const start = await source.read(0, Math.min(size, MAGIC.length + 3 * MOST.bytes), signal);
  if (MAGIC.some((byte, i) => byte !== start[i]))
    throw new RwkvError("unsupported", `${name} is a Python pickle, but not one of torch.save`);
  const none = () => {
    throw new Error("a storage outside the model");
  };
  const system = await readPickle(name, start.subarray(MAGIC.length), new Map(), none);
  if (!(system.value instanceof Map) || system.value.get("little_endian") !== true)
    throw new RwkvError("unsupported", `${name} was saved on a big-endian machine; load and save it on another one`);
  let at = MAGIC.length + system.end;
  const { value, storages, end } = await readTorchPickle(name, start.subarray(at));
  at += end;
  const keys = await readPickle(name, start.subarray(at), new Map(), none);
  at += keys.end;

  const damaged = (problem: string) => new RwkvError("weights", `${name}: ${problem}; the file is damaged`);
  if (!Array.isArray(keys.value) || new Set(keys.value).size !== keys.value.length)
    throw damaged("it has no list of its storages");
  const headers: [storage: Storage, at: number][] = [];
  for (const key of keys.value) {
    const storage = storages.get(key);
    if (!storage) throw damaged("it lists a storage that no tensor uses");
    headers.push([storage, at]);
    at += 8 + storage.length * storage.width;
    if (at > size)
      throw new RwkvError(
        "weights",
        `${name} is cut off: storage "${storage.key}" ends at byte ${at}, but the file at byte ${size}; download it again`,
      );
  }
  if (headers.length !== storages.size) throw damaged("its list of storages is not complete");
  await inTurns(headers, async ([storage, place]) => {
    const bytes = await source.read(place, 8, signal);
    const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    if (length !== BigInt(storage.length))
      throw damaged(`storage "${storage.key}" at byte ${place} has ${length} numbers instead of ${storage.length}`);
  });
  return fileOf(source, value, new Map(headers.map(([storage, place]) => [storage, place + 8])));
}

function fileOf(source: Source, value: unknown, places: ReadonlyMap<Storage, number>): TensorFile {
  const { name } = source;
  const found = tensorsOf(source, value, (storage) => places.get(storage)!);
  const { tensors, unknown } = nameTensors(name, found, namingOf(found).naming);
  return { name, container: "pth", tensors, unknown, facts: new Map(), close: () => source.close() };
}

async function readEntry(source: Source, entry: ZipEntry, limit: number, signal?: AbortSignal): Promise<Uint8Array> {
  if (entry.size > limit)
    throw new RwkvError(
      "unsupported",
      `${source.name}: "${entry.name}" has ${entry.size} bytes, more than the ${limit} that this reader takes`,
    );
  return await source.read(await dataOffset(source, entry, signal), entry.size, signal);
}

async function readText(source: Source, entry: ZipEntry, signal?: AbortSignal): Promise<string> {
  return new TextDecoder().decode(await readEntry(source, entry, 64, signal));
}

/** Does `work` for every item, a few at a time; none is begun once one has failed. */
async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failed = false;
  const worker = async () => {
    for (const item of queue) {
      if (failed) return;
      await work(item).catch((error) => {
        failed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}
