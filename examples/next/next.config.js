import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

// What the page loads; the server reads the package's own.
mkdirSync("public", { recursive: true });
const weights = fileURLToPath(import.meta.resolve("rwkv-wasm/weights/stories-7m.q8_0.gguf"));
copyFileSync(weights, "public/stories-7m.q8_0.gguf");

export default {
  // Not the repository around this folder.
  turbopack: { root: import.meta.dirname },
  // On the server the package stays where it is installed, with its workers and kernels.
  serverExternalPackages: ["rwkv-wasm"],
  // With these headers pages may share memory, so that several threads compute; without them one worker does.
  headers: async () => [
    {
      source: "/:path*",
      headers: [
        { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
        { key: "Cross-Origin-Embedder-Policy", value: "require-corp" },
      ],
    },
  ],
};
