import { DurableObject } from "cloudflare:workers";
import { load } from "rwkv-wasm";

/**
 * The model. A Durable Object is where requests meet: what one of them has loaded, others can use, also when the first is over. In a Worker
 * each request may only use what it has started itself.
 */
export class StoryModel extends DurableObject {
  #model;

  #load() {
    this.#model ??= (async () => load(await this.env.ASSETS.fetch("https://assets/stories-7m.q8_0.gguf")))();
    return this.#model;
  }

  /** Streams a story. Whoever goes away ends it. */
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const model = await this.#load();
    const story = model.generate(searchParams.get("prompt") ?? "Once upon a time", { maxTokens: 60, seed: 7 });
    return new Response(story.toReadableStream().pipeThrough(new TextEncoderStream()), {
      headers: { "Content-Type": "text/plain; charset=utf-8" },
    });
  }
}

export default {
  fetch: (request, env) => env.MODEL.getByName("story").fetch(request),
};
