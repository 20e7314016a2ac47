"use client";

import { useEffect, useState } from "react";

/** A story that is written in the page. `/api/story` writes one on the server. */
export default function Page() {
  const [info, setInfo] = useState("Loading …");
  const [story, setStory] = useState("");
  const [done, setDone] = useState(false);
  useEffect(() => {
    let model;
    const stop = new AbortController();
    const { signal } = stop;
    const write = async () => {
      const { load } = await import("rwkv-wasm");
      model = await load("/stories-7m.q8_0.gguf", { signal });
      setInfo(`${model.info.name}: ${model.info.mode}, ${model.info.threads} threads`);
      const options = { maxTokens: 60, seed: 7, signal };
      for await (const { text } of model.generate("Once upon a time", options)) setStory((story) => story + text);
      setDone(true);
    };
    write().catch((error) => signal.aborted || setInfo(error.message));
    return () => {
      stop.abort();
      model?.close();
    };
  }, []);
  return (
    <>
      <p id="info">{info}</p>
      <p id="story" data-done={done ? "" : undefined}>
        {story}
      </p>
    </>
  );
}
