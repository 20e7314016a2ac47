/**
 * Opens PyTorch's `.pth` files as torch.save writes them: since version 1.6 a zip archive with a pickle and one file for each
 * storage, before that several pickles and then the storages, one after the other.
 */
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { type Naming, nameTensors } from "./names.ts";
import { namingOf } from "./names-hf.ts";
import { MOST, Nonsense, readPickle } from "./pickle.ts";
import { readTorchPickle, type Storage, tensorsOf } from "./torch.ts";
import { entrySource, lateSource, readZip, type ZipEntry } from "./zip.ts";

/**
 * Opens a source that holds a zip archive of torch.save. `naming`: what names mean, if that is not to be found out from them.
 *
 * Errors: `weights`, naming file and tensor or place, when it is damaged or cut off; `unsupported` for archives that are
 * something else, and for what `readTorchPickle` and `nameTensors` refuse.
 */
export async function openPth(source: Source, signal?: AbortSignal, naming?: Naming): Promise<TensorFile> {
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

  const sources = new Map<Storage, Source>();
  for (const storage of storages.values()) {
    const entry = entries.get(`${folder}data/${storage.key}`);
    if (!entry) throw new RwkvError("weights", `${name}: it lacks storage "${storage.key}"; the file is damaged`);
    const length = storage.length * storage.width;
    if (entry.size < length)
      throw new RwkvError(
        "weights",
        `${name}: storage "${storage.key}" has ${entry.size} bytes instead of ${length}; the file is damaged`,
      );
    sources.set(storage, entrySource(source, entry));
  }
  return fileOf(source, value, sources, naming);
}

/**
 * How many times a file's own bytes its tensors may take, as they may share storages. Models share an embedding with a head, so
 * two would do; without a limit a file of a few megabytes could claim all memory.
 */
const MOST_SHARING = 4;

/** What every older file begins with: a pickle of a number that only PyTorch's files have, and one of version 1001. */
/* biome-ignore format: bytes */
const MAGIC = Uint8Array.of(
  0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  0x80, 2, 0x4d, 0xe9, 0x03, 0x2e,
);

/** Opens a source that holds the older form, which begins with a pickle. Errors: as `openPth`. */
export async function openLegacyPth(source: Source, signal?: AbortSignal, naming?: Naming): Promise<TensorFile> {
  const { name, size } = source;
  const start = await source.read(0, Math.min(size, MAGIC.length + 3 * MOST.bytes), signal);
  if (MAGIC.some((byte, i) => byte !== start[i]))
    throw new RwkvError("unsupported", `${name} is a Python pickle, but not one of torch.save`);
  const none = () => {
    throw new Nonsense("a storage outside the model");
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
  const sources = new Map<Storage, Source>();
  for (const key of keys.value) {
    const storage = storages.get(key);
    if (!storage) throw damaged("it lists a storage that no tensor uses");
    const place = at;
    const length = storage.length * storage.width;
    at += 8 + length;
    if (at > size)
      throw new RwkvError(
        "weights",
        `${name} is cut off: storage "${storage.key}" ends at byte ${at}, but the file at byte ${size}; download it again`,
      );
    const start = async (signal?: AbortSignal) => {
      const bytes = await source.read(place, 8, signal);
      const found = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
      if (found !== BigInt(storage.length))
        throw damaged(`storage "${storage.key}" at byte ${place} has ${found} numbers instead of ${storage.length}`);
      return place + 8;
    };
    sources.set(storage, lateSource(source, length, start));
  }
  if (sources.size !== storages.size) throw damaged("its list of storages is not complete");
  return fileOf(source, value, sources, naming);
}

function fileOf(source: Source, value: unknown, sources: ReadonlyMap<Storage, Source>, naming?: Naming): TensorFile {
  const { name } = source;
  const found = tensorsOf(name, value, (storage) => sources.get(storage)!);
  const named = namingOf(found);
  const { tensors, unknown } = nameTensors(name, found, naming ?? named.naming);
  const bytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  if (bytes > MOST_SHARING * source.size + (1 << 20))
    throw new RwkvError(
      "weights",
      `${name}: its tensors take ${bytes} bytes together, but the file has ${source.size}: too many are views of the same numbers; the file is damaged`,
    );
  const close = () => source.close();
  return { name, container: "pth", tensors, unknown, tuned: named.style === "tuned", facts: new Map(), close };
}

/** A whole file of the archive, if it is no longer than `limit`. */
async function readEntry(source: Source, entry: ZipEntry, limit: number, signal?: AbortSignal): Promise<Uint8Array> {
  if (entry.size > limit)
    throw new RwkvError(
      "unsupported",
      `${source.name}: "${entry.name}" has ${entry.size} bytes, more than the ${limit} that this reader takes`,
    );
  return await entrySource(source, entry).read(0, entry.size, signal);
}

async function readText(source: Source, entry: ZipEntry, signal?: AbortSignal): Promise<string> {
  return new TextDecoder().decode(await readEntry(source, entry, 64, signal));
}
