/** Kernels that the user gives, in place of those that the package would find by itself: the option `kernels`. */

import { RwkvError } from "../errors.ts";
import { type Build, instantiateAlone } from "./kernels.ts";
import type { Platform } from "./platform.ts";

/** One build of the kernels: compiled, its bytes, or where it is. */
export type KernelSource = WebAssembly.Module | ArrayBuffer | Uint8Array<ArrayBuffer> | URL | string;

/** One build, which then decides how the model runs; or a function that is told which build is wanted. */
export type KernelsOption = KernelSource | ((build: Build) => KernelSource | Promise<KernelSource>);

/** Larger files are no kernels. */
const MOST_BYTES = 1 << 22;

/**
 * The platform with these kernels. A single build is compiled at once and becomes `only`.
 *
 * Errors: `input` for what is no build of the kernels, or another than was asked for; those of opening a URL.
 */
export async function givenKernels(platform: Platform, given: KernelsOption, signal?: AbortSignal): Promise<Platform> {
  if (typeof given === "function") {
    const kernels = async (build: Build) => {
      const { module, build: found } = await compile(platform, await given(build), signal);
      if (found !== build) throw new RwkvError("input", `kernels gave the build ${found} when asked for ${build}.`);
      return module;
    };
    return { ...platform, kernels };
  }
  const { module, build } = await compile(platform, given, signal);
  return { ...platform, kernels: async () => module, only: build };
}

async function compile(
  platform: Platform,
  given: KernelSource,
  signal?: AbortSignal,
): Promise<{ module: WebAssembly.Module; build: Build }> {
  const module = given instanceof WebAssembly.Module ? given : await compiled(await bytesOf(platform, given, signal));
  const features = instantiateAlone(module, 1).kernels.features();
  return { module, build: `${features & 2 ? "relaxed" : "plain"}${features & 1 ? "-threads" : ""}` };
}

async function compiled(bytes: BufferSource): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new RwkvError("input", `kernels cannot be compiled here: ${why}. Give one of rwkv-wasm/kernels/*.wasm.`, {
      cause,
    });
  }
}

async function bytesOf(platform: Platform, given: KernelSource, signal?: AbortSignal): Promise<BufferSource> {
  if (given instanceof ArrayBuffer || given instanceof Uint8Array) return given;
  if (typeof given !== "string" && !(given instanceof URL))
    throw new RwkvError(
      "input",
      "kernels must be a WebAssembly.Module, its bytes, its URL, or a function that gives one of these.",
    );
  const source = await platform.open(given, { signal });
  try {
    if (source.size > MOST_BYTES) throw new RwkvError("input", `${source.name} is too large to be kernels.`);
    return await source.read(0, source.size, signal);
  } finally {
    await source.close();
  }
}
