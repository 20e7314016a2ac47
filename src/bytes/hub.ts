/** `hf:owner/repo/file@revision`: names of files on the Hugging Face Hub, or on a server laid out like it. */
import { RwkvError } from "../errors.ts";
import { parseUrl } from "./url.ts";

export const HUB = "https://huggingface.co";

/** Whether a text names a file on the hub. */
export const isHubName = (text: string): boolean => /^hf:/i.test(text);

/** Whether a name says a commit, so that it stands for the same bytes for ever. */
export const isPinned = (name: string): boolean => /@[0-9a-f]{40}$/i.test(name);

/**
 * The URL of a file on the hub. The revision is a branch, a tag, a commit or `refs/pr/1`; without one it is `main`.
 *
 * Errors: `input` for a name of another form, or a hub that is no http(s) URL.
 */
export function hubUrl(name: string, hub: string | URL = HUB): URL {
  const at = name.lastIndexOf("@");
  const [path, revision] = at < 0 ? [name.slice(3), "main"] : [name.slice(3, at), name.slice(at + 1)];
  const [owner, repo, ...file] = path.split("/");
  const sound =
    isRepoName(owner) && isRepoName(repo) && file.length > 0 && [...file, ...revision.split("/")].every(isSegment);
  if (!sound)
    throw new RwkvError(
      "input",
      `"${name.slice(0, 200)}" does not name a file on the hub; the form is hf:owner/repo/file or hf:owner/repo/file@revision`,
    );
  const base = parseUrl(hub);
  if (!base || !/^https?:$/.test(base.protocol))
    throw new RwkvError("input", `the hub must be an http or https URL such as ${HUB}, not "${hub}"`);
  const url = new URL(base);
  const segments = [owner, repo, "resolve", revision, ...file].map((part) => encodeURIComponent(part!));
  url.pathname = [base.pathname.replace(/\/+$/, ""), ...segments].join("/");
  return url;
}

const isRepoName = (name: string | undefined): boolean =>
  name !== undefined && /^[\w.-]+$/.test(name) && isSegment(name);

/** One step of a path that leads downwards. */
const isSegment = (part: string): boolean => !/^\.{0,2}$/.test(part) && !/[\\\p{Cc}]/u.test(part);
