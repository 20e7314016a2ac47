/** Models of several files: opens the files beside one, and sees to it that they are closed with it. */
import { RwkvError } from "../errors.ts";
import type { Source } from "../types.ts";

/** The last part of a source's name: its file name, without folders or what follows it in a URL. */
export function fileNameOf(source: Pick<Source, "name">): string {
  const path = /^https?:/i.test(source.name) ? source.name.replace(/[?#].*$/s, "") : source.name;
  return path.split(/[\\/]/).at(-1) ?? path;
}

/** Opens the siblings of one source. */
export class Siblings {
  private readonly opened: Source[] = [];

  constructor(private readonly source: Source) {}

  /** The file of that name beside the source, if there is one, and if such files can be opened at all. */
  async find(name: string, signal?: AbortSignal): Promise<Source | undefined> {
    // Whatever a file calls its neighbours, they lie in the same folder.
    if (!/^[^\\/]+$/.test(name) || name === "." || name === "..")
      throw new RwkvError(
        "weights",
        `${this.source.name}: ${JSON.stringify(name)} is not the name of a file beside it`,
      );
    const found = await this.source.sibling?.(name, signal);
    if (found) this.opened.push(found);
    return found;
  }

  /** The file of that name; `weights` if it is missing, `unsupported` if no file can be opened beside the source. */
  async open(name: string, signal?: AbortSignal): Promise<Source> {
    const { source } = this;
    if (!source.sibling)
      throw new RwkvError(
        "unsupported",
        `${source.name} is one of several files, but "${name}" cannot be found from here; load the model by its path or address`,
      );
    const found = await this.find(name, signal);
    if (!found) throw new RwkvError("weights", `${source.name}: the file "${name}" that belongs to it is missing`);
    return found;
  }

  /** Closes what was opened, and the source too if `all`. */
  async close(all: boolean): Promise<void> {
    const sources = all ? [this.source, ...this.opened] : this.opened;
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** Runs `body`; if it fails, the siblings it opened are closed. The source itself is the caller's to close. */
export async function withSiblings<T>(source: Source, body: (siblings: Siblings) => Promise<T>): Promise<T> {
  const siblings = new Siblings(source);
  try {
    return await body(siblings);
  } catch (error) {
    await siblings.close(false).catch(() => {}); // the reason for not opening matters more
    throw error;
  }
}
