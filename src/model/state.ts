/**
 * A session's state as bytes: magic, header length, a JSON header, then the state's numbers as little-endian f32. The header
 * says which model it belongs to and what follows, so that a state is never taken by another model; its checksum is over both.
 */

import { hex8, xxhash32 } from "../bytes/hash.ts";
import { isRecord, parseJson } from "../bytes/json.ts";
import type { StatePart } from "../engine/spec.ts";
import { RwkvError } from "../errors.ts";

/** "RWKVSTA2" */
const MAGIC = Uint8Array.of(0x52, 0x57, 0x4b, 0x56, 0x53, 0x54, 0x41, 0x32);
const MOST_HEADER = 1 << 20;

/** Which model a state belongs to. The fingerprint covers the small tensors, so one model's weight types share states. */
export interface Identity {
  readonly model: string;
  readonly version: string;
  readonly layers: number;
  readonly width: number;
  readonly fingerprint: string;
  readonly numerics: number;
}

interface Header extends Identity {
  readonly position: number;
  readonly parts: readonly (readonly [string, readonly number[]])[];
  readonly checksum: string;
}

const partsOf = (parts: readonly StatePart[]): Header["parts"] => parts.map(({ name, shape }) => [name, shape]);
/** Over the numbers and what the header says of them. */
const checksumOf = ({ checksum: _, ...rest }: Omit<Header, "checksum"> & { checksum?: unknown }, numbers: Uint8Array) =>
  hex8(xxhash32(numbers, xxhash32(new TextEncoder().encode(JSON.stringify(rest)))));
const describe = (id: Identity): string =>
  `${id.model} (RWKV-${id.version}, ${id.layers} layers, width ${id.width}, fingerprint ${id.fingerprint})`;

export function encodeState(
  identity: Identity,
  parts: readonly StatePart[],
  position: number,
  state: Float32Array,
): Uint8Array<ArrayBuffer> {
  // As they lie in WebAssembly's memory: little endian.
  const numbers = new Uint8Array(state.buffer, state.byteOffset, state.byteLength);
  const said = { ...identity, position, parts: partsOf(parts) };
  const header: Header = { ...said, checksum: checksumOf(said, numbers) };
  // The header is padded so that the numbers start at a multiple of 4.
  let json = JSON.stringify(header);
  json += " ".repeat(-new TextEncoder().encode(json).length & 3);
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(MAGIC.length + 4 + text.length + numbers.length);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setUint32(MAGIC.length, text.length, true);
  bytes.set(text, MAGIC.length + 4);
  bytes.set(numbers, MAGIC.length + 4 + text.length);
  return bytes;
}

/** Reads a state for the model `identity`. Throws `RwkvError` "state". */
export function decodeState(
  bytes: Uint8Array,
  identity: Identity,
  parts: readonly StatePart[],
): { position: number; state: Float32Array<ArrayBuffer> } {
  const bad = (what: string) => new RwkvError("state", `This is not a usable session state: ${what}.`);
  if (!(bytes instanceof Uint8Array)) throw bad("it is not a Uint8Array");
  if (bytes.length < MAGIC.length + 4 || MAGIC.some((b, i) => bytes[i] !== b)) {
    throw bad("it does not begin as one that `session.save()` made");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(MAGIC.length, true);
  const start = MAGIC.length + 4 + length;
  if (length > MOST_HEADER || start > bytes.length) throw bad("it is cut off within its header");
  const header = headerOf(bytes.subarray(MAGIC.length + 4, start));
  if (!header) throw bad("its header is damaged");
  if (header.fingerprint !== identity.fingerprint || header.version !== identity.version) {
    throw new RwkvError(
      "state",
      `This state belongs to another model: ${describe(header)}; the loaded one is ${describe(identity)}.`,
    );
  }
  if (header.numerics !== identity.numerics) {
    throw new RwkvError(
      "state",
      `This state was made with numerics ${header.numerics}, this version computes with ${identity.numerics}: the text would not continue bit for bit. Feed the text again.`,
    );
  }
  if (JSON.stringify(header.parts) !== JSON.stringify(partsOf(parts))) throw bad("its parts have other shapes");
  if (!Number.isSafeInteger(header.position) || header.position < 0) throw bad("its position is not a count");
  const count = parts.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  if (bytes.length - start !== count * 4) {
    throw bad(`it holds ${bytes.length - start} bytes of numbers instead of ${count * 4}`);
  }
  const numbers = bytes.subarray(start);
  if (checksumOf(header, numbers) !== header.checksum) throw bad("its checksum does not match, so bytes were changed");
  // A copy, as it may lie at any address.
  return { position: header.position, state: new Float32Array(numbers.slice().buffer as ArrayBuffer) };
}

/** What the header says; `undefined` if it is none. Its values may be of any type, and are only compared. */
function headerOf(bytes: Uint8Array): Header | undefined {
  try {
    const json = parseJson("header", bytes);
    return isRecord(json) ? (json as unknown as Header) : undefined;
  } catch {
    return undefined;
  }
}
