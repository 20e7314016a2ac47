// The builds for `rwkv lab scaling`: all kernels, and attention, which no RWKV needs. Compiled with LAB defined, which program.ts asks for.

export * from "./index";
export { attention } from "./attention";
