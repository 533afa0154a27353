import { open } from "./browser.mjs";
import { readFileSync } from "node:fs";
const info = JSON.parse(readFileSync("/tmp/ui/info.json"));
const port = new URL(info.address).port;
const address = `https://127.0.0.1:${port}`;
const { browser, page, complaints } = await open({ address });
await page.goto(address + "/login");
await page.fill("input[type=email]", info.email); await page.fill("input[type=password]", info.password);
await page.click("button[type=submit]"); await page.waitForURL(address + "/");
await page.goto(address + `/snapshots/${info.snap}/files?path=tmp/ui/stand/srv/data/documents`);
await page.waitForTimeout(1000);
let t = Date.now();
let [d] = await Promise.all([page.waitForEvent("download"), page.locator("button:has-text('Download')").first().click()]);
console.log(d.suggestedFilename(), await d.failure(), Date.now() - t, "ms");
await page.locator("tbody input[type=checkbox]").nth(0).check();
await page.locator("tbody input[type=checkbox]").nth(3).check();
for (const label of ["Download ZIP", "Download TAR.ZST"]) {
  t = Date.now();
  [d] = await Promise.all([page.waitForEvent("download"), page.click(`button:has-text('${label}')`)]);
  await d.saveAs("/tmp/ui/" + d.suggestedFilename());
  console.log(d.suggestedFilename(), await d.failure(), Date.now() - t, "ms");
}
await page.click("button:has-text('Restore…')"); await page.waitForTimeout(600);
await page.screenshot({ path: "/tmp/ui/restore-dialog.png" });
await page.keyboard.press("Escape");
await page.goto(address + "/"); await page.waitForTimeout(1200);
await page.screenshot({ path: "/tmp/ui/overview.png", fullPage: true });
console.log(complaints);
await browser.close();
