// With these headers pages may share memory, so that several threads compute; without them one worker does.
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export default {
  server: { headers },
  preview: { headers },
  // In development Vite would move the package's code away from its workers and kernels.
  optimizeDeps: { exclude: ["rwkv-wasm"] },
};
