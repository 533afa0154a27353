// node paint.mjs JSON: how soon pages paint, and what open pages cost the server. Prints one JSON line.
import { readFileSync } from "node:fs";
import { open } from "./browser.mjs";

const { address, email, password, paths, pid, copies } = JSON.parse(process.argv[2]);
const memory = () => Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) / 1024;
const settle = (page) => page.waitForTimeout(3000);

const { browser, context, page, complaints } = await open({ address });
await page.goto(`${address}/login`);
await page.fill("#email", email);
await page.fill("#password", password);
await page.press("#password", "Enter");
await page.waitForURL(`${address}/`);
for (const path of paths) await page.goto(`${address}${path}`); // what is loaded once, for the first reader
await settle(page);
const before = memory();
const opened = [];
for (let copy = 0; copy < copies; copy += 1) {
  const path = paths[copy % paths.length];
  const fresh = await context.newPage();
  await fresh.goto(`${address}${path}`);
  await fresh.waitForSelector(".page h1:visible");
  opened.push(fresh);
}
await settle(page);
const megabytes = (memory() - before) / copies;
for (const left of opened) await left.close();
const paints = {};
for (const path of paths) {
  const seconds = [];
  for (let turn = 0; turn < 5; turn += 1) {
    const fresh = await context.newPage();
    await fresh.goto(`${address}${path}`);
    await fresh.waitForSelector(".page h1:visible");
    // what a person waits for: the first paint of the page's own content, which comes after it is there
    await fresh.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length);
    seconds.push(await fresh.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime / 1000));
    await fresh.close();
  }
  paints[path] = seconds.sort((a, b) => a - b)[2];
}
console.log(JSON.stringify({ paints, megabytes, complaints }));
await browser.close();
