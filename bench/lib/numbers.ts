/** Numbers to compute with, the same in every run: spread evenly from -scale to scale. */
export function fill(memory: WebAssembly.Memory, address: number, count: number, scale = 1): void {
  const numbers = new Float32Array(memory.buffer, address, count);
  for (let i = 0; i < count; i++) numbers[i] = ((Math.imul(i + 1, 0x9e3779b1) >>> 0) / 2 ** 31 - 1) * scale;
}
