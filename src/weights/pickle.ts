/**
 * Reads Python pickles without running anything. `pickleparser` is the machine; here it is fenced in, because a pickle is a
 * program, and a hostile one can ask for work that grows without bound:
 * - only the instructions that torch.save writes are let through (protocols 2 to 5), each of which costs a bounded amount;
 * - a name that the pickle wants to import must be in `globals`, and what it calls checks its arguments;
 * - attributes that it sets on objects (BUILD) are dropped: nothing that is read here has any that matter;
 * - a pickle may have `MOST` bytes, where a model of a thousand tensors takes about 100 kB.
 */
import { RwkvError } from "../errors.ts";

/** Bytes of a pickle, and how many dictionaries, the largest thing that one byte can ask for. */
export const MOST = { bytes: 1 << 20, dictionaries: 1 << 14 };

/** Python's instructions by number; `pickletools` has the whole list. */
const POP = 0x30;
const BUILD = 0x62;
const EMPTY_DICT = 0x7d;
const LONG1 = 0x8a;
/* biome-ignore format: a table */
const ALLOWED: ReadonlySet<number> = new Set([
  0x80 /* PROTO */, 0x95 /* FRAME */, 0x2e /* STOP */,
  0x28 /* MARK */, POP, 0x31 /* POP_MARK */, BUILD,
  0x71 /* BINPUT */, 0x72 /* LONG_BINPUT */, 0x94 /* MEMOIZE */, 0x68 /* BINGET */, 0x6a /* LONG_BINGET */,
  0x4e /* NONE */, 0x88 /* NEWTRUE */, 0x89 /* NEWFALSE */,
  0x4a /* BININT */, 0x4b /* BININT1 */, 0x4d /* BININT2 */, LONG1, 0x47 /* BINFLOAT */,
  0x58 /* BINUNICODE */, 0x8c /* SHORT_BINUNICODE */, 0x55 /* SHORT_BINSTRING */, 0x54 /* BINSTRING */,
  0x29 /* EMPTY_TUPLE */, 0x74 /* TUPLE */, 0x85 /* TUPLE1 */, 0x86 /* TUPLE2 */, 0x87 /* TUPLE3 */,
  0x5d /* EMPTY_LIST */, 0x61 /* APPEND */, 0x65 /* APPENDS */,
  EMPTY_DICT, 0x73 /* SETITEM */, 0x75 /* SETITEMS */,
  0x63 /* GLOBAL */, 0x93 /* STACK_GLOBAL */, 0x52 /* REDUCE */, 0x51 /* BINPERSID */,
]);

/** A longer number is none that counts bytes. */
const LONGEST_NUMBER = 6;

/** Thrown by what a pickle calls, when that makes no sense. What it says is passed on; what the machine says of itself is not. */
export class Nonsense extends Error {}

export interface Pickle {
  readonly value: unknown;
  /** Where the pickle ends in the bytes it was read from. */
  readonly end: number;
}

/**
 * What the first pickle in `bytes` holds: dictionaries as `Map`s, lists and tuples as arrays.
 *
 * `globals`: what a name such as `collections.OrderedDict` stands for; functions are called with Python's arguments, and
 * throw `Nonsense` for those that make none. `persistent`: what an object that is stored elsewhere stands for.
 *
 * Errors: `unsupported` for names that are not in `globals`, instructions that torch.save does not write, and pickles beyond
 * the limits; `weights` for one that is damaged. Both name `file`.
 */
export async function readPickle(
  file: string,
  bytes: Uint8Array,
  globals: ReadonlyMap<string, unknown>,
  persistent: (id: unknown) => unknown,
): Promise<Pickle> {
  const { BufferReader, Parser } = (await import("pickleparser")).default;

  /** Looks at every instruction before the machine does: it asks `hasNext` right before it reads each one. */
  class Guard extends BufferReader {
    private next = false;
    private instruction = 0;
    private dictionaries = 0;

    override hasNext(): boolean {
      this.next = true;
      return super.hasNext();
    }

    override byte(): number {
      const value = super.byte();
      if (!this.next) return value;
      this.next = false;
      this.instruction = value;
      if (!ALLOWED.has(value)) throw refusal(`uses instruction ${value} at byte ${this.position - 1}`);
      if (value === EMPTY_DICT && ++this.dictionaries > MOST.dictionaries)
        throw refusal(`makes more than ${MOST.dictionaries} dictionaries`);
      return value === BUILD ? POP : value;
    }

    override bytes(length: number): Uint8Array {
      if (this.instruction === LONG1 && length > LONGEST_NUMBER)
        throw refusal(`has a number of ${length} bytes at byte ${this.position}`);
      return super.bytes(length) as Uint8Array;
    }
  }

  const refusal = (what: string) =>
    new RwkvError("unsupported", `${file}: its pickle ${what}; PyTorch saves no model so, and it is not read`);
  const reader = new Guard(bytes.subarray(0, MOST.bytes));
  const parser = new Parser({
    nameResolver: {
      resolve(module: unknown, name: unknown) {
        if (typeof module !== "string" || typeof name !== "string") throw new Nonsense("a name that is no text");
        const found = globals.get(`${module}.${name}`);
        if (found === undefined)
          throw refusal(`asks for Python's ${JSON.stringify(`${module}.${name}`.slice(0, 100))}`);
        return found as () => unknown;
      },
    },
    persistentResolver: { resolve: persistent },
    unpicklingTypeOfDictionary: "Map",
  });
  try {
    return { value: parser.read(reader), end: reader.position };
  } catch (cause) {
    if (cause instanceof RwkvError) throw cause;
    if (bytes.length > MOST.bytes && reader.position >= MOST.bytes) throw refusal(`is longer than ${MOST.bytes} bytes`);
    const problem = cause instanceof Nonsense ? ` (${cause.message.slice(0, 200)})` : "";
    throw new RwkvError(
      "weights",
      `${file}: its pickle makes no sense before byte ${Math.min(reader.position, bytes.length)}${problem}; the file is damaged`,
      { cause },
    );
  }
}
