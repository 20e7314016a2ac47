/**
 * Which tokenizer a model gets. The first of these that there is:
 *
 * 1. the one given to `load` as `vocabulary`;
 * 2. the one in the weights file (GGUF);
 * 3. a vocabulary file beside the weights, if its number of tokens is the model's, or a little less;
 * 4. by the number of tokens alone: the World vocabulary, which comes with the package, or bytes.
 *
 * Without one a model still takes and gives token ids. What was given and cannot be used is an error at once; files that
 * were merely found are an error only when nothing else serves and text is asked for. docs/tokenizers.md is the user's side.
 */
import type { Platform } from "../engine/platform.ts";
import { RwkvError } from "../errors.ts";
import { padded } from "../text/padded.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { HfTokenizer, Source, TensorFile, Vocabulary } from "../types.ts";
import { fileNameOf } from "../weights/beside.ts";

/** The content of a `tokenizer.json`, and the class of @huggingface/tokenizers for it where packages cannot be found by their names. */
export interface BpeVocabulary {
  json: string | Uint8Array;
  Tokenizer: HfTokenizer;
}

/** "world", "bytes", the content of a vocabulary file, or a tokenizer. docs/tokenizers.md says more. */
export type VocabularyOption = "world" | "bytes" | (string & {}) | Uint8Array | BpeVocabulary | Tokenizer;

export interface Chosen {
  readonly tokenizer?: Tokenizer;
  /** Which it is and where it comes from; or why there is none. */
  readonly note: string;
}

/** The tokenizer; `input`, saying why, if there is none. */
export function tokenizerOf({ tokenizer, note }: Chosen): Tokenizer {
  if (!tokenizer) throw new RwkvError("input", `Only token ids can be used: ${note}.`);
  return tokenizer;
}

type Resources = Pick<Platform, "worldVocabulary" | "hfTokenizer">;

/** The number of tokens of a table for the World vocabulary: 65,530, often rounded up. */
const WORLD = { least: 65530, most: 65536 };
/** The same for the vocabulary of the Pile models, which is GPT-NeoX-20B's. */
const PILE = { least: 50277, most: 50304 };
/** A table for bytes and a few tokens more. */
const BYTES = { least: 256, most: 511 };
/** A file that was found fits a table that is longer by less than this; tables are rounded up, mostly to multiples of 64 or 128. */
const SLACK = 512;
/** No vocabulary is larger. */
const MAX_FILE = 1 << 25;

/** What a vocabulary may be called that lies beside `weights`. */
const namesBeside = (weights: string): string[] => [
  `${weights.replace(/\.[^.]*$/, "")}.vocab.txt`,
  "rwkv_vocab_v20230424.txt",
  "tokenizer.json",
  "20B_tokenizer.json",
];

/**
 * Chooses by the rule above for a model whose table has `rows` tokens.
 *
 * @throws RwkvError as reading vocabularies does, for one that was given, is in the weights file or comes with the package.
 */
export async function chooseTokenizer(
  platform: Resources,
  given: VocabularyOption | undefined,
  file: Pick<TensorFile, "vocabulary" | "facts">,
  source: Source,
  rows: number,
  signal?: AbortSignal,
): Promise<Chosen> {
  if (given !== undefined) return await chosen(await readGiven(platform, given, rows), rows, "as given");
  if (file.vocabulary) return await chosen(file.vocabulary, rows, "from the weights file");

  const doubts: string[] = [];
  const found = await findBeside(platform, source, rows, doubts, signal);
  if (found) return found;
  const stated = file.facts.get("tokenizer");
  if (stated !== undefined && stated !== "none" && stated !== "no_vocab")
    doubts.unshift(`the weights file's own vocabulary, of the kind "${stated}", is not read here`);
  else if (within(rows, WORLD)) return await chosen(await shipped(platform), rows, `for the model's ${rows} tokens`);
  else if (within(rows, BYTES) && doubts.length === 0)
    return await chosen(await bytes(rows), rows, `for the model's ${rows} tokens`);

  const guess = within(rows, PILE)
    ? `its ${rows} tokens look like those of the Pile models, whose file is called tokenizer.json or 20B_tokenizer.json`
    : `its ${rows} tokens are those of no vocabulary that is known here`;
  return {
    note: `${["the model came without a vocabulary that can be used", ...doubts, guess].join("; ")}. Put the file beside the weights, or give its content as \`vocabulary\``,
  };
}

const within = (rows: number, { least, most }: { least: number; most: number }): boolean =>
  rows >= least && rows <= most;

async function chosen(vocabulary: Vocabulary | Tokenizer, rows: number, from: string): Promise<Chosen> {
  const tokenizer = "encode" in vocabulary ? padded(vocabulary, rows) : await worldTokenizer(vocabulary, rows);
  const kinds: Readonly<Record<string, string>> = { world: "World", bytes: "bytes", bpe: "BPE" };
  return { tokenizer, note: `${kinds[tokenizer.kind] ?? tokenizer.kind}, ${from}` };
}

async function worldTokenizer(vocabulary: Vocabulary, rows: number): Promise<Tokenizer> {
  const { WorldTokenizer } = await import("../text/world.ts");
  return new WorldTokenizer(vocabulary, rows);
}

/** One token for each byte, and names for `rows` in all. */
async function bytes(rows: number): Promise<Vocabulary> {
  const { byteVocabulary } = await import("../text/vocab.ts");
  return byteVocabulary(rows);
}

/** A vocabulary in the form in which the package has World's. */
async function unpacked(packed: Uint8Array<ArrayBuffer>, name: string): Promise<Vocabulary> {
  const { unpackVocabulary } = await import("../text/packed.ts");
  return await unpackVocabulary(packed, name);
}

async function readGiven(platform: Resources, given: VocabularyOption, rows: number): Promise<Vocabulary | Tokenizer> {
  if (given === "world") return await shipped(platform);
  if (given === "bytes") return await bytes(rows);
  if (typeof given === "string" && !given.includes("\n") && !/^\s*[\d{]/.test(given))
    throw new RwkvError(
      "input",
      `vocabulary is "world", "bytes" or the content of a vocabulary file, not ${JSON.stringify(given.slice(0, 80))}; a file has to be read first.`,
    );
  if (typeof given === "string" || given instanceof Uint8Array) return await parse(platform, given, "the vocabulary");
  if (isTokenizer(given)) return given;
  // Some runtimes' Blobs have a method of that name.
  if (given !== null && typeof given === "object" && "json" in given && typeof given.json !== "function")
    return await bpe(given.json, given.Tokenizer);
  throw new RwkvError(
    "input",
    'vocabulary must be "world", "bytes", the content of a vocabulary file, or a tokenizer.',
  );
}

async function bpe(json: string | Uint8Array, Tokenizer: HfTokenizer, name?: string): Promise<Tokenizer> {
  const { BpeTokenizer } = await import("../text/bpe.ts");
  return new BpeTokenizer(json, Tokenizer, name);
}

function isTokenizer(value: unknown): value is Tokenizer {
  const { size, eos, encode, decode, bytes } = (value ?? {}) as Partial<Tokenizer>;
  const functions = [encode, decode, bytes].every((method) => typeof method === "function");
  return functions && Number.isInteger(size) && Array.isArray(eos);
}

/** The vocabulary that comes with the package. */
async function shipped(platform: Resources): Promise<Vocabulary> {
  let packed: Uint8Array<ArrayBuffer>;
  try {
    packed = await platform.worldVocabulary();
  } catch (cause) {
    if (cause instanceof RwkvError) throw cause;
    throw new RwkvError(
      "unsupported",
      `The World vocabulary, rwkv-wasm's file weights/world.vocab, cannot be read (${(cause as Error).message}): keep it with the package, or give a \`vocabulary\`.`,
      { cause },
    );
  }
  return await unpacked(packed, "weights/world.vocab");
}

/** Finds out from the content what kind of file it is. */
async function parse(platform: Resources, content: string | Uint8Array, name: string): Promise<Vocabulary | Tokenizer> {
  if (typeof content !== "string" && content[0] === 0x1f && content[1] === 0x8b)
    return await unpacked(new Uint8Array(content), name);
  const start = typeof content === "string" ? content.slice(0, 64) : new TextDecoder().decode(content.subarray(0, 64));
  if (!/^\ufeff?\s*\{/.test(start)) return (await import("../text/vocab.ts")).parseVocabulary(content, name);
  if (!platform.hfTokenizer)
    throw new RwkvError(
      "unsupported",
      `${name}: a tokenizer.json needs the package @huggingface/tokenizers, which cannot be found by name here; load with \`vocabulary: { json, Tokenizer }\`, Tokenizer being that package's class.`,
    );
  return await bpe(content, await platform.hfTokenizer(), name);
}

/** The first file beside the weights that is a vocabulary and fits. What speaks against the others is added to `doubts`. */
async function findBeside(
  platform: Resources,
  source: Source,
  rows: number,
  doubts: string[],
  signal?: AbortSignal,
): Promise<Chosen | undefined> {
  if (!source.sibling) return undefined;
  const names = namesBeside(fileNameOf(source));
  const opened = await Promise.allSettled(names.map((name) => source.sibling!(name, signal)));
  try {
    for (const [i, result] of opened.entries()) {
      signal?.throwIfAborted();
      try {
        if (result.status === "rejected") throw result.reason;
        if (!result.value) continue;
        const vocabulary = await parse(platform, await readAll(result.value, signal), names[i]);
        const ids = "tokens" in vocabulary ? vocabulary.tokens.length : vocabulary.size;
        if (ids <= rows && rows - ids < SLACK)
          return await chosen(vocabulary, rows, `from ${names[i]} beside the weights`);
        doubts.push(`${names[i]} beside the weights has ${ids} tokens, the model ${rows}`);
      } catch (error) {
        signal?.throwIfAborted();
        doubts.push(`beside the weights, ${(error as Error).message.replace(/\.$/, "")}`);
      }
    }
  } finally {
    for (const result of opened) if (result.status === "fulfilled") await result.value?.close();
  }
  return undefined;
}

async function readAll(file: Source, signal?: AbortSignal): Promise<Uint8Array> {
  if (file.size > MAX_FILE)
    throw new RwkvError("unsupported", `${file.name} is too large for a vocabulary (${file.size} bytes)`);
  return await file.read(0, file.size, signal);
}
