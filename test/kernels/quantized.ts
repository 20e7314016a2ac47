/** How quantised activations lie in a build's memory: assembly/blocks.ts. Each build has the codes that its kernels read. */
import type { Kernels } from "../../src/engine/kernels.ts";

export interface Layout {
  /** Bytes of a block of 32 activations of one token. */
  bytes: number;
  /** Offsets: the scale, then three sums; the codes in 8 and in 16 bits, where there are such. */
  scale: number;
  narrow: number | undefined;
  wide: number | undefined;
}

/** The layout of this build on this machine. */
export function layoutOf(kernels: Kernels): Layout {
  const relaxed = (kernels.features() & 2) !== 0;
  const wide = (kernels.features() & 4) === 0;
  const scale = relaxed ? 32 : 0;
  return {
    bytes: scale + 16 + (wide ? 64 : 0),
    scale,
    narrow: relaxed ? 0 : undefined,
    wide: wide ? scale + 16 : undefined,
  };
}

/** What the block at `at` holds: its scale, the sums of its halves and of all, and the codes in each way that there is. */
export function blockAt({ scale, narrow, wide }: Layout, bytes: Uint8Array, at: number) {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  const codes = (from: number | undefined, read: (i: number) => number) =>
    from === undefined ? [] : [Array.from({ length: 32 }, (_, i) => read(i))];
  return {
    scale: view.getFloat32(scale, true),
    sums: [4, 8, 12].map((offset) => view.getInt32(scale + offset, true)),
    codes: [
      ...codes(narrow, (i) => view.getInt8(narrow! + i)),
      ...codes(wide, (i) => view.getInt16(wide! + i * 2, true)),
    ],
  };
}
