import { open, faults } from "./browser.mjs";
import { readFileSync } from "node:fs";
const info = JSON.parse(readFileSync("/tmp/ui/info.json"));
const port = new URL(info.address).port;
const address = `https://127.0.0.1:${port}`;
const { browser, page, complaints } = await open({ address, scheme: process.argv[2] || "light", width: +(process.argv[3] || 1280) });
const w = process.argv[3] || "1280";
await page.goto(address + "/login");
await page.fill("input[type=email]", info.email); await page.fill("input[type=password]", info.password);
await page.click("button[type=submit]"); await page.waitForURL(address + "/");
const look = async (path, name, act) => {
  await page.goto(address + path); await page.waitForTimeout(1200);
  if (act) { await act(); await page.waitForTimeout(1200); }
  await page.screenshot({ path: `/tmp/ui/${name}-${w}.png`, fullPage: true });
  console.log(name, page.url(), JSON.stringify(await faults(page, name)));
};
const find = (await (await fetch === undefined ? null : null));
await look(`/snapshots/${info.snap}/files`, "files-root");
await look(`/snapshots/${info.snap}/files?path=tmp/ui/stand/srv/data/documents&compare=1`, "files-docs", async () => {
  await page.locator("tbody input[type=checkbox]").nth(0).check();
  await page.locator("tbody input[type=checkbox]").nth(3).check();
});
await look(`/agents/${info.agent}/versions?path=tmp/ui/stand/srv/data/documents/2026/new plan.odt`, "versions");
await look(`/snapshots/${info.snap}`, "snapshot");
await look(`/snapshots`, "snapshots");
await look(`/search?q=plan`, "search", async () => { await page.locator("tbody input[type=checkbox]").nth(1).check(); });
await look(`/snapshots/${info.snap}/changes`, "changes");
await look(`/agents/${info.agent}`, "agent");
await look(`/`, "overview");
await look(`/agents`, "agents");

console.log(complaints);
await browser.close();
