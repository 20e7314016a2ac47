// Pages that allow little, scripts that come from another origin, and hosts that cannot send headers: as docs/runtimes.md says.
import sirv from "sirv";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inBrowsers, type Page } from "../runtimes/browsers.ts";
import { ISOLATION, listen, type Site } from "../runtimes/site.ts";

const files = sirv(".", { dev: true });
const MODEL = "/test/fixtures/v7.f32.gguf";

/** Another origin, which allows everybody to read its files: a network that delivers packages, say. */
const other = await listen((request, response) => {
  response.setHeader("Access-Control-Allow-Origin", "*");
  files(request, response);
});

/** Pages with a script and a policy as their addresses say, and nothing that a policy might have to allow for the tests' sake. */
const serve = (isolated: boolean) =>
  listen((request, response) => {
    if (isolated) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    const { pathname, searchParams } = new URL(request.url!, "http://localhost");
    if (pathname === "/script")
      return response.setHeader("Content-Type", "text/javascript").end(searchParams.get("code"));
    // Where it serves all pages.
    if (pathname === "/isolation.js") request.url = "/dist/isolation.js";
    if (pathname !== "/page") return files(request, response);
    const policy = searchParams.get("policy");
    if (policy) response.setHeader("Content-Security-Policy", policy);
    const first = searchParams.has("first") ? `<script src="${searchParams.get("first")}"></script>` : "";
    const script = `/script?code=${encodeURIComponent(searchParams.get("code") ?? "")}`;
    response
      .setHeader("Content-Type", "text/html")
      .end(`<!doctype html><link rel="icon" href="data:,">${first}<script type="module" src="${script}"></script>`);
  });
const sites = { isolated: await serve(true), plain: await serve(false) };
for (const site of [sites.isolated, sites.plain, other]) test.after(() => site.close());

interface Answer {
  mode?: string;
  /** What came out, so that it can be compared. */
  tokens?: number[];
  error?: string;
  isolated: boolean;
}

/** The script of a page: loads a model with the library from `from`, and writes a little. */
const code = (from: string) => `
  const answer = { isolated: crossOriginIsolated };
  try {
    const { load } = await import(${JSON.stringify(from)});
    const model = await load(${JSON.stringify(MODEL)}, { threads: 2 });
    answer.mode = model.info.mode;
    answer.tokens = [];
    for await (const { token } of model.generate([1, 2, 3], { maxTokens: 5, temperature: 0 })) answer.tokens.push(token);
    await model.close();
  } catch (error) {
    answer.error = error.code + ": " + error.message;
  }
  globalThis.answer = JSON.stringify(answer);`;

/** Milliseconds for something to come; generous, it only ends what hangs. */
const PATIENCE = 300_000;

/** What `ask` answers once it answers something. */
async function eventually<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  for (const end = performance.now() + PATIENCE; performance.now() < end; ) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

/** `options`: a policy, a script that comes first. */
async function visit(
  page: Page,
  from: string,
  options: Record<string, string> = {},
  site: Site = sites.plain,
): Promise<Answer> {
  const query = new URLSearchParams({ code: code(from), ...options });
  await page.goto(`${site.url}/page?${query}`);
  return eventually("the page's answer", async () => {
    // A page that reloads meanwhile has none for a moment.
    const answer = await page.evaluate("globalThis.answer ?? null").catch(() => null);
    return answer ? JSON.parse(answer as string) : undefined;
  });
}

await inBrowsers((browser, name) => {
  const inPage = async <T>(work: (page: Page) => Promise<T>): Promise<T> => {
    const context = await browser.createBrowserContext();
    try {
      return await work(await context.newPage());
    } finally {
      await context.close();
    }
  };
  /** Debian's WebKit gives out no shared memory, though it says that a page is isolated. */
  const team = name === "WebKit" ? "worker" : "team";
  let expected: Answer;

  test(`${name}: without a policy`, () =>
    inPage(async (page) => {
      expected = await visit(page, "/dist/web.js");
      assert.is(expected.error, undefined);
      assert.is(expected.tokens!.length, 5);
      assert.equal(expected, { isolated: false, mode: "worker", tokens: expected.tokens });
    }));

  for (const isolated of [false, true]) {
    const site = isolated ? sites.isolated : sites.plain;
    const good = () => ({ isolated, mode: isolated ? team : "worker", tokens: expected.tokens });
    const page = isolated ? "an isolated page" : "a page";

    test(`${name}: ${page} with a strict policy, and the package on its own origin`, () =>
      inPage(async (page) => {
        const policy =
          "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
        assert.equal(await visit(page, "/dist/web.js", { policy }, site), good());
      }));

    test(`${name}: ${page} that takes the package from another origin`, () =>
      inPage(async (page) => {
        assert.equal(await visit(page, `${other.url}/dist/web.js`, {}, site), good());
      }));

    test(`${name}: ${page} that takes it from another origin, with a strict policy`, () =>
      inPage(async (page) => {
        const policy = `default-src 'none'; script-src 'self' ${other.url} 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self' ${other.url}`;
        assert.equal(await visit(page, `${other.url}/dist/web.js`, { policy }, site), good());
      }));

    test(`${name}: ${page} that takes the one file from another origin, with a strict policy`, () =>
      inPage(async (page) => {
        const policy = `default-src 'none'; script-src 'self' ${other.url} 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self'`;
        assert.equal(await visit(page, `${other.url}/dist/inline.web.js`, { policy }, site), good());
      }));
  }

  test(`${name}: policies that allow too little are named`, () =>
    inPage(async (page) => {
      const errorOf = async (policy: string) => (await visit(page, "/dist/web.js", { policy })).error;
      const rest = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";
      assert.match((await errorOf(`${rest}; worker-src 'none'; connect-src 'self'`))!, /^engine: .*worker-src/);
      assert.match((await errorOf(`${rest}; worker-src 'self'`))!, /^network: .*could not be/);
      const wasm = await errorOf("default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'");
      // WebKit lets everybody compile.
      if (name === "WebKit") assert.is(wasm, undefined);
      else assert.match(wasm!, /^unsupported: .*'wasm-unsafe-eval'/);
    }));

  test(`${name}: a host that cannot send headers`, () =>
    inPage(async (page) => {
      const policy = `default-src 'none'; script-src 'self' ${other.url} 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self' ${other.url}`;
      const options = { first: "/isolation.js", policy };
      // The first time it reloads; whoever looks may see the page before that or after.
      const answer = await eventually("an isolated page", async () => {
        const answer = await visit(page, "/dist/web.js", options);
        return answer.isolated ? answer : undefined;
      });
      assert.equal(answer, { isolated: true, mode: team, tokens: expected.tokens });
      assert.is(await page.evaluate("sessionStorage.length"), 0);
      // From then on at once, and with the package from elsewhere too.
      const foreign = await visit(page, `${other.url}/dist/web.js`, options);
      assert.equal(foreign, { isolated: true, mode: team, tokens: expected.tokens });
    }));

  test(`${name}: the script for such hosts in the wrong place`, () =>
    inPage(async (page) => {
      for (let i = 0; i < 3; i++) {
        const answer = await visit(page, "/dist/web.js", { first: "/dist/isolation.js" });
        assert.equal(answer, { isolated: false, mode: "worker", tokens: expected.tokens });
      }
      assert.is(await page.evaluate("sessionStorage.length"), 0);
      // It takes itself back when it finds that it is of no use.
      const count = () => page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)");
      await eventually("no service worker", async () => ((await count()) === 0 ? true : undefined));
    }));
});

test.run();
