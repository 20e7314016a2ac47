// Random numbers: a seed and a position give a number, so that nothing has to be kept from one draw to the next.

/** A number in [0, 1) with 53 bits: SplitMix64 (Steele, Lea, Flood 2014) at position `step` of the seed's sequence. */
export function random(seed: u64, step: u32): f64 {
  let z = seed + (<u64>step + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return <f64>(z >> 11) * (1.0 / 9007199254740992.0);
}
