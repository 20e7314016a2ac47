/** Numbers for tests, the same in every run: xorshift32 (Marsaglia 2003), seeded. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
    for (let i = 0; i < 8; i++) this.u32();
  }

  u32(): number {
    let s = this.#state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.#state = s;
    return s >>> 0;
  }

  /** An integer from 0 up to, not including, `count`. */
  below(count: number): number {
    return Math.floor((this.u32() / 2 ** 32) * count);
  }

  /** About normally distributed: mean 0, variance 1, no value beyond 3.5. */
  bell(): number {
    const four = this.u32() + this.u32() + this.u32() + this.u32();
    return (four / 2 ** 32 - 2) * Math.sqrt(3);
  }

  /** `count` f32 of that kind, times `scale`. */
  bells(count: number, scale = 1): Float32Array {
    return Float32Array.from({ length: count }, () => this.bell() * scale);
  }

  /** As activations are: bells, one in fifty of them `factor` times as large. */
  spiky(count: number, factor = 100): Float32Array {
    return Float32Array.from({ length: count }, () => this.bell() * (this.below(50) === 0 ? factor : 1));
  }
}
