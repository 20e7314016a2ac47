/** What the package exports, by name. (Here, not in test/runtimes/, whose own package.json hides the package from it.) */
export const names: readonly string[] = Object.keys(await import("rwkv-wasm"));
