// Chromium, watched: whatever the console complains of, whatever fails to load or comes from elsewhere, is kept.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
// Debian's own; on Ubuntu, where that is a snap, the one that packaging/run takes along as a module.
const OF_THE_SYSTEM = "/usr/bin/chromium";
const executablePath = existsSync(OF_THE_SYSTEM)
  ? OF_THE_SYSTEM
  : await (await import("@sparticuz/chromium")).default.executablePath();
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = new URL("./screenshots/", import.meta.url).pathname;

let browser;

/** Open a page in a context of its own; the browser is started once, and again if it has died. */
export async function open({ address, storage, width = 1280, height = 800, scheme = "light", locale = "en-US" }) {
  if (!browser?.isConnected()) browser = await chromium.launch({ executablePath, args: FLAGS });
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, viewport: { width, height }, colorScheme: scheme, locale,
    timezoneId: "Europe/Paris", storageState: storage, acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const complaints = [];
  const page = await context.newPage();
  const watch = (watched) => {
    watched.on("console", (entry) => {
      if (entry.type() === "error" || entry.type() === "warning") complaints.push(`console: ${entry.text()}`);
    });
    watched.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
    watched.on("requestfailed", (request) => {
      const why = request.failure()?.errorText ?? "";
      if (!why.includes("ERR_ABORTED")) complaints.push(`failed: ${request.url()} ${why}`);
    });
    watched.on("response", (response) => {
      if (response.status() >= 500) complaints.push(`status ${response.status()}: ${response.url()}`);
    });
    watched.on("request", (request) => {
      const url = new URL(request.url());
      const isOwn = [new URL(address).host].includes(url.host) || ["data:", "blob:"].includes(url.protocol);
      if (!isOwn) complaints.push(`external: ${request.url()}`);
    });
  };
  watch(page);
  page.setDefaultTimeout(30000);
  return { browser, context, page, complaints, watch };
}

export async function shot(page, name, options = {}) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}${name}.png`, ...options });
}

/** Return what axe-core finds serious or critical, in short. */
export async function faults(page, where) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => (await globalThis.axe.run(document)).violations);
  return found
    .filter((violation) => ["serious", "critical"].includes(violation.impact))
    .map((violation) => `${where}: ${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
}
