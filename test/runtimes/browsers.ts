// Browsers as runtimes: which are installed, how they are started, and running a module in a page of one.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import puppeteer, { type BrowserContext, type LaunchOptions } from "puppeteer-core";
import { test } from "uvu";
import type { Finished } from "../../scripts/program.ts";
import type { Site } from "./site.ts";
import { launchWebKit } from "./webdriver.ts";

/** A started browser: as much of Puppeteer's as all of them have. */
export interface Browser {
  /** Cookies and storage of its own, which end with it. */
  createBrowserContext(): Promise<Context>;
  close(): Promise<unknown>;
}

export interface Context {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

export interface Page {
  goto(url: string): Promise<unknown>;
  /** An expression as text (tests are bundled with helpers that pages do not have); promises are waited for. */
  evaluate(script: string): Promise<unknown>;
  close(): Promise<unknown>;
}

interface Kind {
  readonly name: string;
  /** Programs to look for. */
  readonly commands: readonly string[];
  readonly packages: string;
  /** Nobody is told to install it. */
  readonly optional?: boolean;
  launch(path: string): Promise<Browser>;
}

/** Whoever ends the tests ends their browsers, which lead process groups of their own. (Of several, Puppeteer ends only one.) */
const groups = new Set<number>();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
process.on("exit", () => {
  for (const group of groups) process.kill(-group, "SIGKILL");
});

/** Milliseconds for a browser to start, and for a page to be there; generous, it only ends what hangs. */
const PATIENCE = 300_000;

async function launch(options: LaunchOptions): Promise<Browser> {
  const browser = await puppeteer.launch({
    ...options,
    timeout: PATIENCE,
    protocolTimeout: 0,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
  const child = browser.process()!;
  groups.add(child.pid!);
  child.once("exit", () => groups.delete(child.pid!));
  const create = browser.createBrowserContext.bind(browser);
  browser.createBrowserContext = async (...options) => patient(await create(...options));
  patient(browser.defaultBrowserContext());
  return browser;
}

/** Pages that are given their time: by themselves they give up after 30 s, in which a busy machine may do nothing at all. */
function patient(context: BrowserContext): BrowserContext {
  const open = context.newPage.bind(context);
  context.newPage = async (...options) => {
    const page = await open(...options);
    page.setDefaultTimeout(PATIENCE);
    return page;
  };
  return context;
}

const KINDS: readonly Kind[] = [
  {
    name: "Chromium",
    commands: ["chromium", "chromium-browser", "google-chrome"],
    packages: "chromium",
    launch: (executablePath) =>
      launch({
        executablePath,
        args: [
          // The pages are our own, and the one who runs the tests may be root.
          "--no-sandbox",
          "--disable-gpu",
          "--disable-quic",
          "--disable-background-networking",
          "--disable-component-update",
          "--disable-sync",
        ],
      }),
  },
  {
    name: "Firefox",
    commands: ["firefox-esr", "firefox"],
    packages: "firefox-esr",
    launch: (executablePath) => launch({ browser: "firefox", executablePath }),
  },
  {
    name: "WebKit",
    commands: ["WebKitWebDriver"],
    packages: "webkit2gtk-driver xvfb",
    optional: true,
    launch: launchWebKit,
  },
];

/** Where a kind's program is, if it is installed. */
function find({ commands }: Kind): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.flatMap((folder) => commands.map((name) => join(folder, name))).find((path) => existsSync(path));
}

const missing = ({ name, packages }: Kind): string => `${name} is not installed: apt-get install ${packages}`;

/** Starts all browsers that are installed. */
export const installed = (): Promise<{ name: string; browser: Browser }[]> =>
  Promise.all(
    KINDS.filter(find).map(async (kind) => ({ name: kind.name, browser: await kind.launch(find(kind) ?? "") })),
  );

/** Starts an installed browser by its name. */
export async function start(name: "Chromium" | "Firefox" | "WebKit"): Promise<Browser> {
  const kind = KINDS.find((kind) => kind.name === name)!;
  const path = find(kind);
  if (!path) throw new Error(missing(kind));
  return kind.launch(path);
}

/**
 * Registers tests for each browser that is installed, which is started once and closed at the end. With CI set, one that is
 * missing and not optional is a failure; else it is said what was left out.
 */
export async function inBrowsers(
  register: (browser: Browser, name: string) => void | Promise<void>,
  names: readonly string[] = KINDS.map(({ name }) => name),
): Promise<void> {
  for (const kind of KINDS.filter(({ name }) => names.includes(name))) {
    const path = find(kind);
    if (path) {
      const browser = await kind.launch(path);
      test.after(async () => void (await browser.close()));
      await register(browser, kind.name);
    } else if (process.env.CI && !kind.optional) {
      test(kind.name, () => {
        throw new Error(missing(kind));
      });
    } else {
      console.log(`Skipped: ${missing(kind)}`);
      test.skip(kind.name);
    }
  }
}

/**
 * Runs a module of a site in a new page, until uvu has printed its summary, something is thrown or the time is over
 * (`limit`, seconds). What the page prints is the output.
 */
export async function runInPage(browser: Browser, site: Site, file: string, limit: number): Promise<Finished> {
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  const context = await browser.createBrowserContext();
  let output = "";
  let code: number | null = null;
  try {
    const page = await context.newPage();
    await page.goto(`${site.url}/page?run=${encodeURIComponent(`/${file}`)}`);
    while (code === null && seconds() < limit) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const text of (await page.evaluate("printed.splice(0)")) as string[]) {
        output += `${text}\n`;
        if (/^ *Duration: /m.test(text)) code = 0;
        if (text.startsWith("thrown: ")) code = 1;
      }
    }
  } catch (error) {
    output += `${(error as Error).message}\n`;
    code = 1;
  } finally {
    await context.close();
  }
  return { output, code, timedOut: code === null, seconds: seconds() };
}
