// node journeys.mjs: journeys through the dashboard, as a person takes them, one for each line of JSON on its input.
// Prints a JSON line for each thing that the test must do or know, and a last one with what was found wrong.
import { createInterface } from "node:readline";
import { open, shot, faults } from "./browser.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await lines.next()).value;
let name, options, address, email, password, wrong;
const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));

function expect(condition, what) {
  if (!condition) wrong.push(what);
}

// A page changes its address before its rows: so many must be there soon, not in this moment.
async function expectSoon(locator, count, what) {
  for (let tries = 0; tries < 100 && (await locator.count()) !== count; tries++) {
    await locator.page().waitForTimeout(100);
  }
  expect((await locator.count()) === count, what);
}

async function judge(page, where) {
  wrong.push(...(await faults(page, where)));
  expect((await page.locator("h1").count()) === 1 || (await page.locator("h1:visible").count()) === 1, `${where}: one h1`);
  expect(await page.evaluate(() => document.documentElement.lang), `${where}: lang`);
  const isWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  expect(!isWide, `${where}: scrolls sideways`);
}

const journeys = {
  async setup({ page, context, watch }) {
    await page.goto(options.setup);
    await judge(page, "setup");
    await shot(page, "setup");
    await page.fill("#email", email);
    await page.fill("#password", password);
    await page.fill("#again", "something else");
    await page.click("button[type=submit]");
    await page.waitForFunction(() => document.querySelector("#message").textContent.includes("differ"));
    await page.fill("#again", password);
    await page.click("button[type=submit]");
    await page.waitForSelector("#recovery:not([hidden])");
    await judge(page, "recovery");
    await shot(page, "recovery");
    const groups = await page.locator("#code span").allTextContents();
    expect(groups.length === 8 && groups.every((group) => group.length === 7), `groups: ${groups}`);
    expect(await page.isDisabled("#continue"), "Continue waits for the tick");
    await page.click("#copy");
    await page.waitForFunction(() => document.querySelector("#copied").textContent);
    expect((await page.evaluate(() => navigator.clipboard.readText())) === groups.join("-"), "the code is copied");
    expect(!page.url().includes("saveos_setup"), "the token left the address");
    await page.check("#stored");
    await page.click("#continue");
    await page.waitForSelector("#own-host:not([hidden])");
    await judge(page, "own host");
    await shot(page, "own-host");
    const beside = await context.newPage();
    watch(beside);
    await beside.goto(`${address}/`);
    await beside.waitForSelector(".steps");
    await judge(beside, "empty");
    await shot(beside, "empty");
    await beside.close();
    await page.click("#own-begin"); // the test's executable is none: what went wrong is said, and the way on
    await page.waitForSelector("#own-failed:not(:empty)");
    await judge(page, "own host failed");
    await page.click("#own-later");
    await page.waitForURL(`${address}/`);
    await page.waitForSelector(".own-host .notice.bad:not(.hidden)");
    await context.storageState({ path: options.storage });
    await page.goto(`${address}/setup`);
    await page.waitForSelector("a[href='/login']");
    expect((await page.locator("form").count()) === 0, "set-up is over");
    tell("recovery", { code: groups.join("-") });
  },

  async kit({ page }) {
    await page.goto(`${address}/recovery-kit`);
    await page.waitForSelector("#by-groups:not([hidden])");
    await judge(page, "kit");
    await shot(page, "kit");
    const fill = async (code) => {
      for (const number of [1, 2]) {
        const asked = (await page.textContent(`label[for=group-${number}]`)).match(/\d/)[0];
        await page.fill(`#group-${number}`, code.split("-")[asked - 1].toLowerCase());
      }
    };
    await page.fill("#group-1", "AAAAAAA");
    await page.fill("#group-2", "BBBBBBB");
    await page.click("#by-groups button[type=submit]");
    await page.waitForSelector("#by-groups [role=alert]:not(:empty)");
    await fill(options.code);
    await page.click("#by-groups button[type=submit]");
    await page.waitForSelector("#state .notice:not(.bad):has-text('at hand')");
    expect(await page.isHidden("#by-groups"), "nothing more is asked");
    await page.click("#renew");
    await page.waitForSelector("#recovery:not([hidden])");
    await judge(page, "new kit");
    await shot(page, "new-kit");
    const code = (await page.locator("#code span").allTextContents()).join("-");
    expect(code.length === 63 && code !== options.code, `new code: ${code.length}`);
    expect((await page.locator("#qr path").getAttribute("d")).length > 1000, "the QR is drawn");
    await page.emulateMedia({ media: "print" });
    await shot(page, "kit-printed");
    expect(await page.isHidden("#print"), "buttons are not printed");
    await page.emulateMedia({ media: "screen" });
    await page.check("#stored");
    await page.click("#continue");
    await fill(options.code);
    await page.click("#by-groups button[type=submit]");
    await page.waitForSelector("#by-groups [role=alert]:not(:empty)");
    await fill(code);
    await page.click("#by-groups button[type=submit]");
    await page.waitForSelector("#state .notice:not(.bad):has-text('at hand')");
    tell("kit", { code });
  },

  async unlock({ page, context, watch }) {
    const sent = [];
    page.on("request", (request) => sent.push(request.postData() ?? ""));
    page.on("websocket", (socket) => socket.on("framesent", (frame) => sent.push(String(frame.payload))));
    await page.goto(`${address}/agents/${options.agent}`);
    await page.click("button:has-text('Unlock')");
    await page.waitForSelector(".unlock input");
    await judge(page, "unlock");
    await shot(page, "unlock");
    await page.fill(".unlock input", "AAAA-BBBB");
    await page.click(".unlock button[type=submit]");
    await page.waitForSelector(".unlock [role=alert]:has-text('mistyped')");
    await page.fill(".unlock input", options.code.toLowerCase());
    await page.keyboard.press("Enter");
    await page.waitForSelector(".unlocked:has-text('A host is unlocked for 15 minutes more.')");
    await page.waitForSelector(".unlock input", { state: "hidden" });
    await judge(page, "unlocked");
    await shot(page, "unlocked");
    const code = options.code.toLowerCase();
    const parts = code.split("-");
    expect(sent.some((text) => text.includes("sealed_code")), "what was sent was seen");
    expect(!sent.some((text) => parts.some((part) => text.toLowerCase().includes(part))), "the code left the page");
    const beside = await context.newPage();
    watch(beside);
    await beside.goto(`${address}/policies`);
    await beside.waitForSelector(".unlocked:not(.hidden)");
    await beside.click(".unlocked button");
    await page.waitForSelector(".unlocked", { state: "hidden" });
  },

  async session({ page, context, watch }) {
    await page.goto(`${address}/agents/agt_none`);
    expect(page.url() === `${address}/login?next=/agents/agt_none`, `sent to ${page.url()}`);
    await judge(page, "login");
    await shot(page, "login");
    await page.fill("#email", email);
    await page.fill("#password", "wrong wrong wrong");
    await page.click("button[type=submit]");
    await page.waitForSelector("#message:not(:empty)");
    await page.fill("#password", password);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${address}/agents/agt_none`);
    await page.waitForSelector("text=There is no such host.");
    await page.goto(`${address}/nowhere/at/all`);
    await page.waitForSelector("h1:has-text('There is no such page.')");
    await judge(page, "missing");
    await page.goto(`${address}/`);
    const other = await context.newPage();
    watch(other);
    await other.goto(`${address}/`);
    await page.click(".account");
    await page.click("text=Sign out");
    await page.waitForURL(`${address}/login`);
    await other.waitForURL(`${address}/login`);
    for (const next of ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)"]) {
      await page.goto(`${address}/login?next=${encodeURIComponent(next)}`);
      expect((await page.getAttribute("form", "data-next")) === "/", `next=${next}`);
    }
    await page.goto(`${address}/login`);
    await page.click("text=Français");
    await page.waitForSelector("h1:has-text('Se connecter')");
    await judge(page, "login in French");
  },

  async provision({ page }) {
    await page.goto(`${address}/`);
    await page.click("a:visible:has-text('Protect')");
    await page.waitForURL(`${address}/downloads`);
    await judge(page, "downloads");
    await shot(page, "downloads");
    await page.fill(".provision textarea", "web-01\nbad!name\nweb-01");
    await page.click("button:has-text('Continue')");
    await page.waitForSelector(".faults li:has-text('Line 3')");
    await judge(page, "downloads with faults");
    await page.fill(".provision textarea", options.host);
    await page.waitForSelector(".faults li", { state: "detached" });
    await page.keyboard.press("Tab");
    await page.focus("button:has-text('Continue')");
    await page.keyboard.press("Enter");
    const bar = page.locator(".page [role=progressbar]");
    await bar.waitFor();
    await page.waitForURL(/downloads\?provisioning=prv_/);
    await page.waitForFunction(() => document.querySelector(".page [aria-valuenow]")?.ariaValueNow === "40");
    await judge(page, "building");
    await shot(page, "building");
    tell("building");
    const link = page.locator(".progress-list a[download][href]");
    await link.waitFor();
    await page.click(".command button >> nth=0");
    await page.waitForSelector(".q-notification");
    const command = await page.evaluate(() => navigator.clipboard.readText());
    expect(command === "chmod +x saveos-agent && sudo ./saveos-agent install", `copied: ${command}`);
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    await download.saveAs(options.file);
    await page.waitForSelector("text=Downloaded. The link is used up.");
    tell("downloaded", { name: download.suggestedFilename() });
    await page.waitForSelector(`li.done:has-text('${options.host} is online')`);
    await judge(page, "online");
    await shot(page, "online");
    await page.goto(`${address}/agents`);
    const row = page.locator(`tr.host:has-text('${options.host}')`);
    await row.locator(".dot.online").waitFor();
    tell("online");
    const far = (percent) => page.waitForFunction(
      ([host, least]) => {
        const found = [...document.querySelectorAll("tr.host")].find((candidate) => candidate.textContent.includes(host));
        return Number(found.querySelector("[role=progressbar]").ariaValueNow ?? -1) >= least;
      },
      [options.host, percent],
    );
    await far(25);
    tell("quarter");
    await far(60);
    expect((await row.textContent()).includes("files"), "files are counted");
    await row.locator("button:has-text('Cancel')").click();
    tell("cancelled");
    await row.locator("button:has-text('Back up now')").click();
    tell("asked");
    await row.locator("text=1 snapshot").waitFor();
    await row.locator("text=Protected").waitFor();
    expect(/20\d\d/.test(await row.locator("time").getAttribute("title")), "the exact time is a title");
    await page.goto(`${address}/`);
    await page.waitForSelector("h1:has-text('Your host is protected.')");
  },

  async batch({ page }) {
    await page.goto(`${address}/downloads`);
    await page.fill(".provision textarea", options.hosts.join(", "));
    await page.waitForSelector(`text=${options.hosts.length} hosts`);
    await page.click("button:has-text('Continue')");
    await page.waitForURL(/downloads\?batch=bat_/);
    const link = page.locator("a[href^='/download/agents.zip']");
    await link.waitFor();
    await judge(page, "batch");
    await shot(page, "batch");
    const [list] = await Promise.all([page.waitForEvent("download"), page.click("a[href^='/download/agents.csv']")]);
    await list.saveAs(options.list);
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    await download.saveAs(options.file);
    await page.waitForSelector("text=All are handed out.");
    tell("downloaded");
    await page.waitForSelector(`h2:has-text('1 of ${options.hosts.length} online')`);
    await page.reload();
    await page.waitForSelector(`h2:has-text('1 of ${options.hosts.length} online')`);
    await page.goto(`${address}/downloads`);
    for (const host of options.hosts.slice(1)) {
      await page.click(`button[aria-label='Withdraw: ${host}']`);
      await page.waitForSelector(`.dialog >> text=${host}`);
      await judge(page, "withdraw");
      await page.click(".dialog button:has-text('Withdraw')");
      await page.waitForSelector(`button[aria-label='Withdraw: ${host}']`, { state: "detached" });
    }
  },

  async restore({ page }) {
    await page.goto(`${address}/`);
    await page.click("nav.sections >> text=Hosts");
    await page.click(`tr.host a:has-text('${options.host}')`);
    await page.waitForURL(/\/agents\/agt_/);
    await page.click("tr.snapshot button:has-text('Restore')");
    await page.check("input[value=some]");
    await page.fill(".dialog textarea", "/etc/nginx\n/home/anna/letters\n");
    await page.click(".dialog .primary");
    await page.waitForSelector(".field-error:not(:empty)");
    await page.fill(".dialog input[type=text]", "/var/tmp/restored");
    await judge(page, "restore");
    await shot(page, "restore");
    await page.click(".dialog .primary");
    tell("asked");
    const job = page.locator("tr.job:has-text('Restore')");
    await job.locator("text=Done").waitFor();
    await job.locator("a").click();
    await page.waitForSelector(".log >> text=2 files read");
    await judge(page, "log");
    await shot(page, "job");
    await page.goBack();
    await page.click(".danger-zone button");
    const go = page.locator(".dialog button:has-text('Revoke')");
    expect(await go.isDisabled(), "revoking waits for the name");
    await page.fill(".dialog input", options.host);
    await page.waitForFunction(() => !document.querySelector(".dialog button.danger").disabled);
    await judge(page, "revoke");
    await go.click();
    await page.waitForSelector("p:has-text('Revoked')");
    tell("revoked");
  },

  async find({ page }) {
    await page.goto(`${address}/`);
    const isWide = await page.isVisible(".top-search input");
    if (!isWide) {
      await page.click(".sections-toggle");
      await page.click("nav.sections a[href='/search']");
      await page.waitForURL(/\/search/);
    }
    await page.fill(isWide ? ".top-search input" : ".filters input[type=search]", "terly");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/search\?q=terly/);
    const row = page.locator("tr.entry:has-text('quarterly budget')");
    await row.waitFor();
    await expectSoon(page.locator("tr.entry"), 1, "one file has such a name");
    await row.locator("text=the last that holds it").waitFor();
    await judge(page, "search");
    await shot(page, `search-${options.label}`);
    const save = async (button, as) => {
      const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
      await download.saveAs(`${options.folder}/${as}`);
      return download.suggestedFilename();
    };
    const name = await save(row.locator("button:has-text('Download')"), "found");
    expect(name === "quarterly budget.xlsx", `it is called ${name}`);
    await row.locator("button.strong").click();
    await page.waitForURL(/\/snapshots\/snp_[^/]+\/files\?path=/);
    await page.waitForSelector("tr.entry:has-text('quarterly budget')");
    await page.click(".files-head input[type=checkbox]");
    await judge(page, "files");
    const slider = page.locator(".slider input");
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector("tr.entry.gone:has-text('quarterly budget')");
    await page.locator("tr.entry:has-text('gnp.exe')").waitFor();
    expect((await page.textContent("table")).includes("\\u{202e}"), "what turns a name is seen");
    expect((await page.locator("table b").count()) === 0, "a name is no markup");
    await judge(page, "compared");
    await shot(page, `files-${options.label}`);
    await page.click(".slider button >> nth=0");
    await page.waitForSelector("tr.entry:not(.gone):has-text('quarterly budget')");
    await page.check("input[aria-label$='quarterly budget.xlsx']");
    await page.check("input[aria-label$='letters']");
    await page.waitForSelector(".basket >> text=2 entries chosen");
    await judge(page, "basket");
    for (const [label, as] of [["Download ZIP", "chosen.zip"], ["Download TAR.ZST", "chosen.tar.zst"]]) {
      await save(page.locator(`button:has-text('${label}')`), as);
    }
    await page.click(".basket button:has-text('Restore')");
    await page.waitForSelector(".dialog >> text=2 chosen entries");
    await judge(page, "restore dialog");
    await page.keyboard.press("Escape");
    await page.click("tr.entry:has-text('quarterly budget') button:has-text('Versions')");
    await page.waitForURL(/\/versions\?path=/);
    await page.waitForSelector("tbody tr");
    await judge(page, "versions");
    await page.click("button:has-text('Show its folder')");
    await page.waitForURL(/\/files\?path=/);
    await page.goto(`${address}/snapshots`);
    await page.click("tr.snapshot a >> nth=0");
    await page.click("a:has-text('What changed')");
    await page.waitForSelector("tr.entry:has-text('quarterly budget')");
    await judge(page, "changes");
    tell("found");
  },

  async real({ page }) {
    await page.goto(`${address}/agents`);
    await page.waitForSelector("h1");
    tell("waiting");
    const row = page.locator(`tr.host:has-text('${options.host}')`);
    const patiently = { timeout: 60000 };
    await row.locator(".dot.online").waitFor(patiently);
    await row.locator("text=1 snapshot").waitFor(patiently);
    tell("protected");
    await told();
    await row.locator("button:has-text('Back up now')").click();
    await row.locator(".work").waitFor();
    await row.locator("text=2 snapshots").waitFor(patiently);
    await row.locator("a").click();
    await page.waitForURL(/\/agents\/agt_/);
    await expectSoon(page.locator("tr.snapshot"), 2, "two snapshots");
    await page.click("tr.snapshot button:has-text('Restore') >> nth=0");
    await page.fill(".dialog input[type=text]", options.target);
    await page.click(".dialog .primary");
    await page.locator("tr.job:has-text('Restore') >> text=Done").waitFor(patiently);
    await shot(page, "real");
  },

  async account({ page }) {
    await page.goto(`${address}/`);
    await page.click(".account");
    await page.waitForSelector(".account-menu");
    await judge(page, "menu");
    await page.click(".account-menu input[value=dark]", { force: true });
    await page.waitForSelector("body.body--dark");
    await page.click(".account-menu input[value=fr]", { force: true }); // the page comes anew: there may be nothing left to check
    await page.waitForSelector(".account[aria-label^='Compte']");
    expect(await page.evaluate(() => document.body.classList.contains("body--dark")), "the theme is kept");
    await page.waitForFunction(() => document.documentElement.lang === "fr");
    await judge(page, "French and dark");
    await shot(page, "french-dark");
    await page.click(".account");
    await page.click(".account-menu a:has-text('Profil')");
    await page.waitForURL(`${address}/profile`);
    await page.fill(".page input[maxlength='255']", "rapports");
    await page.keyboard.press("Enter");
    const token = await page.locator(".fresh code").textContent();
    tell("token", { token });
    await judge(page, "profile in French and dark");
    await shot(page, "profile-french-dark");
    await page.click("button[aria-label='Révoquer: rapports']");
    await page.waitForSelector("li:has-text('rapports')", { state: "detached" });
    tell("revoked");
    await page.fill("input[list]", "Asia/Tokyo");
    await page.keyboard.press("Tab");
    await page.waitForSelector(".q-notification");
    await page.fill("input[list]", "");
    await page.keyboard.press("Tab");
    await page.waitForFunction(async () => (await (await fetch("/api/v1/session")).json()).time_zone === "");
    await page.waitForTimeout(700); // the page is drawn anew in the browser's zone, and would close the menu
    await page.click(".account");
    await page.click(".account-menu input[value=system]", { force: true });
    await page.waitForFunction(() => !document.body.classList.contains("body--dark"));
    await page.click(".account-menu input[value=en]", { force: true });
    await page.waitForSelector(".account[aria-label^='Account']");
    await judge(page, "profile");
    await shot(page, "profile");
  },

  // From the front page to what failed, why, and again; in two languages on the way. With the keyboard where it counts.
  async retry({ page }) {
    await page.goto(`${address}/`);
    const needy = page.locator(`tr.host:has-text('${options.host}')`);
    await needy.locator("text=Last backup failed").waitFor();
    await page.focus("nav.sections a[href='/jobs']");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${address}/jobs`);
    await page.fill(".page input[type=search]", options.host);
    await page.selectOption(".filters select >> nth=0", "failed");
    await page.waitForURL(/search=.*state=failed/);
    const job = page.locator("tr.job");
    await job.getByText(options.why).waitFor();
    await expectSoon(job, 1, "one job failed");
    await page.click(".account");
    await page.click(".account-menu input[value=fr]", { force: true });
    await page.waitForSelector("h1:has-text('Tâches')");
    expect((await page.inputValue(".page input[type=search]")) === options.host, "what was typed outlives the language");
    await expectSoon(job, 1, "what was looked for, too");
    await page.keyboard.press("Escape");
    await page.click(".account");
    await page.click(".account-menu input[value=en]", { force: true });
    await page.waitForSelector("h1:has-text('Jobs')");
    await page.keyboard.press("Escape");
    await job.locator("a >> nth=0").click();
    await page.waitForURL(/\/jobs\/job_/);
    await judge(page, "failed job");
    await page.click("button:has-text('Try again')");
    tell("asked");
    await page.waitForSelector(".work:not(.hidden) >> text=Backing up");
    await page.waitForSelector(".log >> text=10 files read");
    tell("seen");
    await page.waitForSelector("p.state:has-text('Done')");
    await page.goto(`${address}/`);
    await page.waitForSelector("h1");
    await needy.waitFor({ state: "detached" });
  },

  // A host that changed its repository oddly: what was found, and two clicks and its name to undo it; by the keyboard.
  async protection({ page }) {
    const as = options.label;
    await page.goto(`${address}/`);
    await page.locator(`tr.host:has-text('${options.host}')`).getByText("Changed its repository oddly").waitFor();
    await judge(page, `overview ${as}`);
    await page.goto(`${address}/agents/${options.agent}`);
    await page.waitForSelector(".frozen-zone:not(.hidden) li:has-text('2 snapshots were deleted')");
    await page.waitForSelector("table.checkpoints tr:has-text('What was before')");
    await judge(page, `frozen ${as}`);
    await shot(page, `frozen-${as}`);
    await page.locator("table.checkpoints tr:has-text('What was before')").scrollIntoViewIfNeeded();
    await shot(page, `checkpoints-${as}`);
    await page.focus("button:has-text('It was meant')");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".dialog:visible:has-text('Was all of this meant?')");
    await judge(page, `let go on ${as}`);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".dialog:visible", { state: "detached" });
    await page.focus("button:has-text('Roll back to before it')");
    await page.keyboard.press("Enter");
    const dialog = page.locator(".dialog:visible");
    await dialog.getByText("2 snapshots come back").waitFor();
    await judge(page, `roll back ${as}`);
    await shot(page, `roll-back-${as}`);
    const go = dialog.locator("button.primary");
    expect(await go.isDisabled(), "the name is missing");
    await dialog.locator("input").focus();
    await page.keyboard.type(`${options.host.slice(0, -1)}?`);
    expect(await go.isDisabled(), "it is another name");
    if (!options.typed) {
      return;
    }
    await page.keyboard.press("Backspace");
    await page.keyboard.type(options.host.slice(-1));
    await dialog.locator("button.primary:not([disabled])").waitFor();
    await page.keyboard.press("Tab"); // over "Cancel"
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".q-notification:has-text('is being rolled back')");
    await page.waitForSelector("table.jobs tr:has-text('Roll-back')");
    tell("asked");
  },

  // A viewer has no buttons, and an administrator's page says no.
  async viewer({ page }) {
    await page.goto(`${address}/agents`);
    await page.waitForSelector("tr.host");
    expect((await page.locator("tr.host button").count()) === 0, "no buttons");
    expect((await page.locator(".table-frame input[type=checkbox]").count()) === 0, "nothing to select");
    for (const path of ["/", "/downloads", "/settings", "/policies", "/policies/new"]) {
      await page.goto(`${address}${path}`);
      await page.waitForSelector(".page h1:visible");
      const open = await page.locator(".page button:visible:not(:disabled):not(.sort)").allTextContents();
      expect(open.every((label) => options.harmless.includes(label.trim())), `${path} offers ${open}`);
      await judge(page, `${path} as a viewer`);
    }
    await page.goto(`${address}/jobs`);
    await page.waitForSelector(".page h1:visible");
    tell("looked");
    await page.waitForURL(`${address}/`, { timeout: 5000 });
  },

  // Alerts with their evidence, wherever they stand; one is put away.
  async alerts({ page }) {
    const places = { overview: "/", alerts: "/alerts", host: `/agents/${options.agent}`, snapshot: `/snapshots/${options.snapshot}` };
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      for (const [name, path] of Object.entries(places)) {
        await page.goto(`${address}${path}`);
        await page.waitForSelector(name === "snapshot" ? "text=Bits per byte" : ".alert .evidence li");
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await judge(page, `${name} with an alert, ${width} wide, ${colorScheme}`);
          await shot(page, `alert-${name}-${width}-${colorScheme}`, { fullPage: true });
        }
      }
    }
    await page.goto(`${address}/alerts?agent=${options.agent}&state=open`);
    const away = page.getByRole("button", { name: "Put away: Files changed as they never do" });
    await away.focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=Nothing that needs you.");
  },

  // Every page, for the eye and for axe; a menu that a phone opens.
  async policy({ page }) {
    const both = async (where) => {
      await judge(page, where);
      await page.emulateMedia({ colorScheme: "dark" });
      await judge(page, `${where} in the dark`);
      await page.emulateMedia({ colorScheme: "light" });
    };
    await page.goto(`${address}/policies`);
    const row = page.locator(`table.policies tr:has-text('${options.policy}')`);
    await row.waitFor();
    await both("policies");
    await shot(page, "policies");
    await row.locator("a").click();
    await page.waitForURL(/\/policies\/pol_/);
    const save = page.locator(".save-bar .primary");
    expect(await save.isDisabled(), "nothing to save yet");
    await page.locator("button:has-text('Browse')").waitFor();
    await both("policy");

    await page.getByLabel("How often").selectOption({ label: "On some weekdays" });
    await page.locator(".weekdays .choice:has-text('Tue') input").uncheck();
    await page.getByLabel("Time", { exact: true }).fill("03:15");
    await page.waitForSelector("text=Mondays, Wednesdays, Thursdays and Fridays at 03:15");
    await expectSoon(page.locator(".runs li"), 5, "five next runs");
    await page.waitForSelector("text=There are changes that are not saved.");
    expect((await page.getByLabel("Time", { exact: true }).inputValue()) === "03:15", "what is typed stays when other things change");

    await page.click(`button:has-text('Browse ${options.host}')`);
    for (const name of options.folders) {
      await page.locator(`.folder button:text-is('${name}')`).focus();
      await page.keyboard.press("Enter");
      await page.locator(`.crumbs [aria-current]:text-is('${name}')`).waitFor();
    }
    await page.locator("input[aria-label='Back up photos']").focus();
    await page.keyboard.press("Space");
    await both("folders");
    await shot(page, "folders");
    await page.click(".dialog .primary");
    const source = page.locator("input[aria-label='Folders and files 1']");
    await page.waitForFunction((path) => document.querySelector("input[aria-label='Folders and files 1']")?.value === path, options.source);
    expect((await source.inputValue()) === options.source, "the folder is a source");

    const excludes = page.locator("fieldset.paths:has(legend:text-is('Excludes'))");
    await excludes.locator("button:has-text('Add a line')").click();
    await page.locator("input[aria-label='Excludes 1']").fill("re:(");
    await page.click(`button:has-text('Try on ${options.host}')`);
    await page.waitForSelector("text=Nothing was counted.");
    await page.locator("input[aria-label='Excludes 1']").fill("*.raw");
    await page.click(`button:has-text('Try on ${options.host}')`);
    await page.waitForSelector("text=It would skip 2 files");
    await page.waitForSelector(`text=Counted on ${options.host}:`);
    await both("trial");
    await shot(page, "trial");

    await save.click();
    await page.waitForSelector(".q-notification");
    await page.click(".back");
    await row.locator("text=Mondays, Wednesdays, Thursdays and Fridays at 03:15").waitFor();
    await row.locator("text=1 exclude").waitFor();
    tell("saved");

    await row.locator("a").click();
    await page.waitForSelector(".save-bar");
    await page.getByLabel("Name", { exact: true }).fill("Never kept");
    await page.waitForSelector("text=There are changes that are not saved.");
    const warnings = [];
    page.on("dialog", (dialog) => {
      warnings.push(dialog.type());
      dialog.accept();
    });
    await page.click(".back");
    await row.waitFor();
    expect(warnings.join() === "beforeunload", `leaving with changes warned: ${warnings}`);
  },

  // Far away, over a thin line: every click is answered, and one that comes twice does one thing.
  async slow({ page }) {
    page.setDefaultTimeout(90000);
    const row = page.locator(`tr.host:has-text('${options.host}')`);
    await page.goto(`${address}/agents`, { waitUntil: "commit" });
    await row.waitFor();
    await row.locator("button:has-text('Back up now')").dblclick();
    await row.locator(".work").waitFor();
    await page.locator(".page input[type=search]").pressSequentially(options.other, { delay: 60 });
    await row.waitFor({ state: "detached" });
    expect((await page.inputValue(".page input[type=search]")) === options.other, "what is typed stays as it was typed");
    await page.locator(`tr.host:has-text('${options.other}') input[type=checkbox]`).check();
    await page.waitForSelector(".bulk:not(.hidden)");
    await page.click(".bulk button:has-text('Update')");
    await page.waitForSelector(".dialog >> text=Update the agent of 1 host?");
    await judge(page, "update");
    await shot(page, "update");
    await page.locator(".dialog-actions .primary").dblclick();
    await page.waitForSelector(".q-notification");
    for (const path of ["jobs", "snapshots", "policies", "monitoring", ""]) {
      await page.click(`nav.sections a[href='/${path}']`);
      await page.waitForURL(`${address}/${path}`, { waitUntil: "commit" });
      await page.waitForSelector(".page h1:visible");
    }
    await page.goto(`${address}/profile`, { waitUntil: "commit" });
    await page.fill(".page input[maxlength='255']", "slowly");
    await page.locator(".page input[maxlength='255'] >> xpath=ancestor::form//button").dblclick();
    await page.locator(".fresh code").waitFor();
  },

  async look({ page }) {
    const looks = [
      { label: "light", colorScheme: "light", width: 1280, height: 800 },
      { label: "dark", colorScheme: "dark", width: 1280, height: 800 },
      { label: "phone-dark", colorScheme: "dark", width: 360, height: 740 },
      { label: "phone", colorScheme: "light", width: 360, height: 740 },
    ];
    const as = async ({ colorScheme, width, height }) => {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.waitForFunction((dark) => document.body.classList.contains("body--dark") === dark, colorScheme === "dark");
      await page.waitForTimeout(250);
    };
    const at = async (name, path) => {
      await page.goto(`${address}${path}`);
      await page.waitForSelector(".page h1:visible");
      for (const look of looks) {
        await as(look);
        await judge(page, `${name} ${look.label}`);
        await shot(page, `${name}-${look.label}`, { fullPage: look.width < 500 });
      }
      await as(looks[0]);
    };
    await at("overview", "/");
    await at("agents", "/agents");
    await page.click("tr.host a:has-text('web-01')");
    await page.waitForSelector("tr.snapshot");
    const [agent] = new URL(page.url()).pathname.match(/\/agents\/agt_\w+/);
    await at("agent", agent);
    await at("snapshot", new URL(await page.locator("tr.snapshot a >> nth=0").getAttribute("href"), address).pathname);
    await page.goto(`${address}${agent}`);
    await at("job", new URL(await page.locator("tr.job a >> nth=0").getAttribute("href"), address).pathname);
    for (const name of ["snapshots", "jobs", "policies", "downloads", "monitoring", "offsite", "settings", "profile"]) {
      await at(name, `/${name}`);
    }
    for (const look of looks.slice(2)) {
      await as(look);
      await page.click(".sections-toggle");
      await page.waitForSelector("nav.sections:popover-open");
      await judge(page, `menu ${look.label}`);
      await shot(page, `menu-${look.label}`);
      await page.keyboard.press("Escape");
    }
    await as(looks[0]);
    await page.goto(`${address}/agents`);
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement !== document.body), "the keyboard reaches something");
  },
};

// A refused sign-in, wrong groups of a code, a missing host and an editor that a viewer may not open are answers, though the console reports them.
const expected = (complaint) => /status of 40[014]/.test(complaint) && ["kit", "session", "viewer"].includes(name);
for (let line = await told(); line; line = await told()) {
  ({ name, ...options } = JSON.parse(line));
  ({ address, email, password } = options);
  wrong = [];
  const session = await open({ ...options, storage: name === "setup" || name === "session" ? undefined : options.storage });
  try {
    await journeys[name](session);
  } catch (error) {
    wrong.push(`${error.message}\n${error.stack?.split("\n").find((where) => where.includes("journeys.mjs")) ?? ""}`);
    await shot(session.page, `failed-${name}`).catch(() => {});
  }
  const complaints = session.complaints.filter((complaint) => !expected(complaint));
  await session.context.close();
  tell("end", { wrong: [...wrong, ...complaints] });
}
