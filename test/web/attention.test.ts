// The page shows where a text looks: a map of its tokens, with the value under the pointer.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Browser, start } from "../runtimes/browsers.ts";
import { closePage, openPage, servePage, until } from "./page.ts";

let browser: Browser;
let site: Awaited<ReturnType<typeof servePage>>;
test.before(async () => {
  browser = await start("Chromium");
  site = await servePage("attention", true);
});
test.after(async () => {
  await browser.close();
  await site.close();
});

test("a map of all tokens appears when it is asked for, and tells the value under the pointer", async () => {
  const page = await openPage(browser, site.url);
  const said = () => page.evaluate(`document.getElementById("looks-value").textContent`) as Promise<string>;
  await until(page, `!document.getElementById("looks").disabled`);
  assert.is(await page.evaluate(`performance.getEntriesByName(new URL("attention.js", location).href).length`), 0);
  await page.evaluate(`document.getElementById("looks").click()`);
  await until(page, `!document.getElementById("looks-map").hidden`);
  assert.is(await page.evaluate(`document.getElementById("looks-head").options.length`), 24);
  assert.match(await said(), /^At .+, .+ \(\d+ back\) is \d+ % of the output; its weight is -?[\d.e-]+\.$/);

  // In the first row there is one cell, which is all of the output.
  const size = (await page.evaluate(`document.getElementById("looks-canvas").clientWidth`)) as number;
  assert.ok(size > 100);
  await page.evaluate(`(() => {
    const canvas = document.getElementById("looks-canvas");
    const { left, top } = canvas.getBoundingClientRect();
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: left + 2, clientY: top + 2 }));
  })()`);
  assert.match(await said(), /^At the beginning, the beginning \(0 back\) is 100 % of the output/);
  const painted = await page.evaluate(`(() => {
    const canvas = document.getElementById("looks-canvas");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return [pixels[3], pixels[4 * (canvas.width - 1) + 3]];
  })()`);
  assert.ok((painted as number[])[0] > 200 && (painted as number[])[1] === 0, "nothing looks ahead");
  await closePage(page);
});

test.run();
