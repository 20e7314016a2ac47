import { createRequire } from "node:module";
import { load } from "rwkv-wasm";

const weights = createRequire(`${process.cwd()}/`).resolve("rwkv-wasm/weights/stories-7m.q8_0.gguf");
let model;

/** Streams a story, which ends with the connection. */
export async function GET(request) {
  model ??= load(weights);
  const story = (await model).generate("Once upon a time", { maxTokens: 60, seed: 7, signal: request.signal });
  const body = story.toReadableStream().pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "Content-Type": "text/plain; charset=utf-8" } });
}

export const dynamic = "force-dynamic";
