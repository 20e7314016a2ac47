/**
 * How many cases a property test tries: `count`, unless the environment variable `RWKV_TEST_RUNS` says otherwise. For a
 * long search: `RWKV_TEST_RUNS=100000 node scripts/run.mjs test/weights/gguf-fuzz.test.ts`.
 */
export function runs(count = 500): number {
  return Number(globalThis.process?.env.RWKV_TEST_RUNS ?? count);
}
