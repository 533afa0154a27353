// Sign-in and set-up. Sentences come from the page (data-…), never from here.
"use strict";

const form = document.querySelector("form[data-action]");
const message = document.querySelector("#message");

function say(text) {
  message.textContent = text;
}

async function call(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error(form.dataset.unreachable);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(form.getAttribute(`data-${answer.code}`) || answer.detail || form.dataset.unreachable);
  }
  return answer;
}

function signIn(email, password) {
  return call("/api/v1/session", { email, password });
}

async function onSignIn(values) {
  await signIn(values.email, values.password);
  location.replace(form.dataset.next);
}

async function onSetUp(values) {
  const token = location.hash.slice(1);
  if (!token) {
    throw new Error(form.dataset.nolink);
  }
  if (values.password !== values.again) {
    form.elements.again.focus();
    throw new Error(form.dataset.different);
  }
  const { isAble, makeKit } = await import("/assets/kit.js");
  const { showKit } = await import("/assets/kit-sheet.js"); // before the code counts: it is shown once, or never
  const own = (await isAble()) ? await makeKit() : undefined; // else the appliance makes the code, and the page says so
  const made = await call("/api/v1/setup", {
    setup_token: token,
    email: values.email,
    password: values.password,
    language: values.language,
    recovery_public_key: own?.kit.recovery_public_key ?? "",
    recovery_check: own?.kit.check ?? null,
  });
  history.replaceState(null, "", location.pathname + location.search);
  await showRecovery(showKit, own?.code ?? made.recovery_code, values, Boolean(own));
}

async function showRecovery(showKit, code, values, isMadeHere) {
  const isStored = showKit(code, `${location.host} · ${values.email}`, { isMadeHere });
  document.querySelector("#account").hidden = true;
  await isStored;
  try {
    await signIn(values.email, values.password);
    offerOwnHost(document.querySelector("#recovery"));
  } catch {
    location.replace("/login");
  }
}

// The pages behind tell times in the reader's zone from the first one on.
const zone = encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone);
document.cookie = `saveos-zone=${zone}; path=/; max-age=31536000; secure; samesite=lax`;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(response.status === 401 ? "signed out" : String(response.status));
  return response.json();
}

// The last step of set-up: this machine too, in one click. Whoever leaves finds it in the overview.
function offerOwnHost(before) {
  const section = document.querySelector("#own-host");
  const begin = document.querySelector("#own-begin");
  before.hidden = true;
  section.hidden = false;
  document.querySelector("#own-title").focus();
  begin.addEventListener("click", async () => {
    begin.disabled = true;
    document.querySelector("#own-failed").textContent = "";
    try {
      await followOwnHost(section.dataset.path);
      begin.hidden = true;
    } catch (error) {
      const failed = document.querySelector("#own-failed");
      failed.textContent = `${error.message} ${failed.dataset.more}`;
      document.querySelector("#own-work").hidden = true;
      begin.disabled = false;
    }
  });
}

async function followOwnHost(path) {
  const step = document.querySelector("#own-step");
  const bar = document.querySelector("#own-bar");
  document.querySelector("#own-work").hidden = false;
  step.textContent = step.dataset.running;
  bar.hidden = false;
  bar.removeAttribute("value");
  let { job } = await call(path, {});
  while (job.state === "queued" || job.state === "running") {
    if (job.progress?.total_files_count) bar.value = job.progress.files_count;
    await pause(700);
    job = await read(`/api/v1/jobs/${job.id}`).catch(() => job); // a restart of the appliance passes
  }
  bar.hidden = true;
  if (job.state !== "done") throw new Error(job.message);
  const command = document.querySelector("#own-command");
  command.textContent = (await read(path)).command;
  command.hidden = !command.textContent;
  step.textContent = command.textContent ? step.dataset.byHand : step.dataset.done;
  const onward = document.querySelector("#own-later");
  onward.textContent = onward.dataset.done;
  onward.classList.add("primary");
  onward.focus();
}

if (form) {
  const submit = form.querySelector("button[type=submit]");
  const action = form.dataset.action === "setup" ? onSetUp : onSignIn;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    submit.disabled = true;
    try {
      await action(Object.fromEntries(new FormData(form)));
    } catch (error) {
      say(error.message);
    } finally {
      submit.disabled = false;
    }
  });
  submit.disabled = false;
  if (form.dataset.action === "setup" && !location.hash) say(form.dataset.nolink);
}

// The set-up token lives in the fragment: a change of language must not lose it.
for (const link of document.querySelectorAll(".languages a")) {
  link.addEventListener("click", () => {
    link.hash = location.hash;
  });
}
