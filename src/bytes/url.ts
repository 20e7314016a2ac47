/** What messages may say of URLs and answers, and which names are names of files. */
import { RwkvError } from "../errors.ts";

/** `undefined` for what is no URL. */
export function parseUrl(text: string | URL, base?: string): URL | undefined {
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}

/** A URL without what may be secret: user, password, query, fragment. */
export function publicUrl(url: string | URL): string {
  const { protocol, host, pathname, search } = new URL(url);
  if (protocol === "data:") return "the given data: URL";
  return `${protocol}${host && "//"}${host}${pathname}${search && "?…"}`;
}

/** A status in words, such as `404 (Not Found)`. HTTP/2 sends no words. */
export function statusText({ status, statusText: words }: Response): string {
  return words ? `${status} (${words.slice(0, 100)})` : String(status);
}

/**
 * Throws `weights` unless `name` is a file's name and nothing more: no path, no folder. `by` is the file that names it,
 * which may be hostile.
 */
export function checkFileName(name: string, by: string): void {
  if (/^\.{0,2}$|[/\\\p{Cc}]/u.test(name) || name.length > 255)
    throw new RwkvError(
      "weights",
      `${by} refers to "${name.slice(0, 100)}", which is not the name of a file beside it`,
    );
}
