/**
 * Opens a weights file: finds out from its first bytes what it is, not from its name, and hands it to the reader for
 * that container, which is loaded when it is needed. What is not a weights file is named in the error, because a web page
 * or a Git LFS pointer saved under the model's name is the usual reason for one.
 */
import { RwkvError } from "../errors.ts";
import type { Source, TensorFile } from "../types.ts";
import { fileNameOf } from "./beside.ts";
import type { Naming } from "./names.ts";

/** Enough of a file to tell what it is. */
const SNIFFED = 512;

/**
 * What the file holds, by official tensor names. No tensor data is read. The source belongs to the result, whose `close`
 * closes it, and whatever was opened beside it; if opening fails all is closed at once.
 *
 * Errors: `weights` for what is no weights file or a damaged one, `unsupported` for containers, architectures and number
 * formats that are not read here; what the source throws passes through.
 */
export function openWeights(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  return open(source, (kind) => READERS[kind](), signal);
}

/**
 * The same for what fine-tuning leaves, a LoRA or a tuned state: names are those of `names-tuned.ts`. Errors: as `openWeights`, and
 * `unsupported` for containers that such parts do not come in.
 */
export function openTuned(source: Source, signal?: AbortSignal): Promise<TensorFile> {
  return open(source, (kind) => tunedReader(kind, source), signal);
}

async function open(
  source: Source,
  choose: (kind: Kind) => Promise<Reader>,
  signal?: AbortSignal,
): Promise<TensorFile> {
  try {
    const start = await source.read(0, Math.min(source.size, SNIFFED), signal);
    const kind = kindOf(source, start);
    if (!kind) throw refusal(source, start);
    const read = await choose(kind);
    return await read(source, signal);
  } catch (error) {
    await source.close().catch(() => {}); // the reason for not opening matters more
    throw error;
  }
}

type Reader = (source: Source, signal?: AbortSignal, naming?: Naming) => Promise<TensorFile>;

/** Each is a part of its own, so that a page which reads one kind of file does not fetch the others. */
const READERS = {
  gguf: async (): Promise<Reader> => (await import("./gguf-open.ts")).openGguf,
  pth: async (): Promise<Reader> => (await import("./pth.ts")).openPth,
  legacyPth: async (): Promise<Reader> => (await import("./pth.ts")).openLegacyPth,
  ggmf: async (): Promise<Reader> => (await import("./ggmf.ts")).openGgmf,
  safetensors: async (): Promise<Reader> => (await import("./safetensors-open.ts")).openSafetensors,
  index: async (): Promise<Reader> => (await import("./safetensors-open.ts")).openIndex,
};
type Kind = keyof typeof READERS;

/** What the first bytes show the file to be. */
function kindOf(source: Source, start: Uint8Array): Kind | undefined {
  if (startsWith(start, "GGUF")) return "gguf";
  if (startsWith(start, "PK\x03\x04")) return "pth";
  if (start[0] === 0x80 && start[1] >= 2 && start[1] <= 5) return "legacyPth";
  // rwkv.cpp's magic is a number, so it reads backwards in a little-endian file.
  if (startsWith(start, "fmgg")) return "ggmf";
  if (isSafetensors(start)) return "safetensors";
  if (start[0] === 0x7b && /\.index\.json$/i.test(fileNameOf(source))) return "index";
  return undefined;
}

/** The reader for what fine-tuning leaves. */
async function tunedReader(kind: Kind, { name }: Source): Promise<Reader> {
  if (kind === "gguf" || kind === "ggmf")
    throw new RwkvError(
      "unsupported",
      `${name} is not what a training program of RWKV leaves; LoRAs and tuned states are read from .pth and .safetensors`,
    );
  const { tunedNaming } = await import("./names-tuned.ts");
  const read = await READERS[kind]();
  return (source, signal) => read(source, signal, tunedNaming);
}

/** The error for a file that cannot be opened, by what its first bytes show it to be. */
function refusal({ name, size }: Source, start: Uint8Array): RwkvError {
  const wrong = (problem: string) => new RwkvError("weights", `${name} ${problem}`);

  if (size === 0) return wrong("is empty; download it again");
  if (startsWith(start, "lmgg") || startsWith(start, "tjgg") || startsWith(start, "algg"))
    return new RwkvError(
      "unsupported",
      `${name} is a GGML file from before GGUF, which is not read here; convert it to GGUF`,
    );
  const text = new TextDecoder().decode(start).trimStart();
  if (text.startsWith("version https://git-lfs.github.com/"))
    return wrong(
      "is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull` or download the file",
    );
  if (/^<(!doctype|html|head|\?xml|!--)/i.test(text))
    return wrong("is a web page, not weights; the address probably leads to a page about the file");
  if (/^[{[]/.test(text)) return wrong("is JSON text, not weights; perhaps a server's error message");
  const hex = Array.from(start.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return wrong(`is not a weights file of a known kind (its first bytes are ${hex})`);
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return bytes.length >= text.length && [...text].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}

/**
 * A safetensors file starts with the length of its JSON header as a 64-bit number, then the header. A length that no file has
 * makes it something else; one that is larger than this file, a file that was cut off.
 */
function isSafetensors(start: Uint8Array): boolean {
  if (start.length < 9 || start[8] !== 0x7b) return false;
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  return length >= 2n && length < 2n ** 32n;
}
