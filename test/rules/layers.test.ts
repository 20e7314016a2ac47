// The architecture, enforced: who may import whom, and which folders may touch what the runtimes differ in.
// docs/architecture.md says why.
import { posix } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { list, type Scanned, scan } from "./scan.ts";

/** Levels of src/. A file imports from lower levels, or from its own folder or, at the top, its own level. */
const LEVELS: [level: number, files: RegExp][] = [
  [0, /^(checks|errors|types)\.ts$/],
  [1, /^bytes\//],
  [2, /^(weights|grammar)\//],
  [3, /^engine\//],
  [4, /^model\//],
  [5, /^text\//],
  [6, /^(generate|sampling|schedule)(\/|\.ts$)/],
  [7, /^(api\/|(api|model|session)\.ts$)/],
  [8, /^platform\//],
  [9, /^index\.ts$/],
  [10, /^(server|ai-sdk|cli)(\/|\.ts$)/],
  [11, /^lab\//],
];

/** Levels of assembly/, whose files import without ending. A file that is not named here is a kernel of its own. */
const ASSEMBLY: Record<string, number> = {
  ops: 0,
  lanes: 1,
  math: 1,
  dot: 1,
  blocks: 2,
  team: 2,
  decode: 2,
  // Steps that larger kernels are fused from.
  embed: 3,
  tiles: 3,
  norm: 3,
  quantize: 3,
  convert: 4,
  mix: 4,
  program: 6,
  index: 7,
  lab: 8,
};
const KERNEL = 5;

const sources = list("src", ".ts").map(scan);
const relative = ({ path }: Scanned) => posix.relative("src", path);
const level = (path: string) => LEVELS.find(([, files]) => files.test(path))?.[0];

/** All places in `files` where a name of `words` stands for something global. */
function uses(files: Scanned[], words: string[]): string[] {
  const found = files.flatMap(({ path, names }) => names.map((name) => ({ path, ...name })));
  return found.filter(({ text }) => words.includes(text)).map(({ path, line, text }) => `${path}:${line} uses ${text}`);
}

test("every file of src/ has a level", () => {
  const lost = sources.map(relative).filter((path) => level(path) === undefined);
  assert.equal(lost, [], "give them a level in this test, or move them");
});

test("files of src/ import only lower levels and their own folder", () => {
  const wrong = sources.flatMap((file) => {
    const own = relative(file);
    const outwards = file.imports.filter(({ text }) => text.startsWith("."));
    return outwards.flatMap(({ text, line, dynamic }) => {
      const target = posix.join(posix.dirname(own), text);
      // What lies outside src/ and may be used: the version, and the numbers shared with the kernels.
      if (target === "../package.json") return [];
      // Kernels are beside what the build makes of the sources.
      if (target.endsWith(".wasm") && own === "platform/workerd.ts") return [];
      if (target === "../assembly/ops.ts" && /^(engine|model|api|lab)\//.test(own)) return [];
      // The one way up: experiments are loaded when they are asked for.
      if (own === "cli/lab.ts" && dynamic && target.startsWith("lab/")) return [];
      const [from, to] = [level(own) ?? 0, level(target) ?? Number.NaN];
      const fine =
        to < from || (to === from && posix.dirname(target).split("/")[0] === posix.dirname(own).split("/")[0]);
      return fine ? [] : `${file.path}:${line} (level ${from}) imports ${text} (level ${to})`;
    });
  });
  assert.equal(wrong, []);
});

test("the server, the AI SDK's provider and the command line use only the public interface", () => {
  const outer = sources.filter((file) => level(relative(file)) === 10);
  const wrong = outer.flatMap((file) => {
    const own = relative(file);
    const targets = file.imports.filter(({ text }) => text.startsWith("."));
    const inner = targets.filter(({ text }) => {
      const target = posix.join(posix.dirname(own), text);
      if (own === "cli/lab.ts" && target.startsWith("lab/")) return false;
      const public_ = /^((index|errors|types)\.ts|\.\.\/package\.json)$/.test(target);
      return !public_ && target.split("/")[0] !== own.split("/")[0];
    });
    return inner.map(({ text, line }) => `${file.path}:${line} imports ${text}`);
  });
  assert.equal(wrong, []);
});

test("imports within src/ name the file, .ts included", () => {
  const wrong = sources.flatMap(({ path, imports }) =>
    imports
      .filter(({ text }) => text.startsWith(".") && !/\.(ts|json|wasm)$/.test(text))
      .map(({ text, line }) => `${path}:${line} imports ${text}`),
  );
  assert.equal(wrong, []);
});

test("only platform/, cli/ and lab/ know what runtime this is", () => {
  const core = sources.filter((file) => !/^(platform|cli|lab)\//.test(relative(file)));
  const words = ["process", "navigator", "caches", "Worker", "Buffer", "Deno", "Bun", "window", "document"];
  const modules = core.flatMap(({ path, imports }) =>
    imports
      .filter(({ text }) => /^(node|bun|deno|cloudflare):/.test(text))
      .map(({ line, text }) => `${path}:${line} imports ${text}`),
  );
  assert.equal([...modules, ...uses(core, words)], []);
});

test("only engine/ touches WebAssembly and Atomics; platform/ may compile modules", () => {
  const outside = sources.filter((file) => !/^engine\//.test(relative(file)));
  const core = outside.filter((file) => !/^platform\//.test(relative(file)));
  assert.equal([...uses(core, ["WebAssembly"]), ...uses(outside, ["Atomics"])], []);
});

test("kernels import what all kernels share, and of other kernels only those of the same operation", () => {
  const name = (path: string) => posix.basename(path, ".ts");
  const rank = (file: string) => ASSEMBLY[file] ?? KERNEL;
  const wrong = list("assembly", ".ts").flatMap((path) => {
    const own = name(path);
    return scan(path).imports.flatMap(({ text, line }) => {
      const target = name(text);
      const sameOperation =
        rank(own) === KERNEL && rank(target) === KERNEL && own.split("_")[0] === target.split("_")[0];
      const fine = posix.dirname(text) === "." && (rank(target) < rank(own) || sameOperation);
      return fine ? [] : `${path}:${line} imports ${text}`;
    });
  });
  assert.equal(wrong, []);
});

test.run();
