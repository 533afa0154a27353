// The page of the recovery kit: confirm the one that is, or make another. The code stays in this page.
import { isAble, makeKit, proofOf, publicKeyOf, readCode, seal } from "/assets/kit.js";
import { hideKit, showKit } from "/assets/kit-sheet.js";

const one = (selector) => document.querySelector(selector);
const main = one("#kit");
const words = main.dataset;

async function call(path, body) {
  let response;
  try {
    response = await fetch(`/api/v1/keys/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error(words.unreachable);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(main.getAttribute(`data-${answer.code}`) || answer.detail || words.unreachable);
  return answer;
}

function ask(groups) {
  for (const [index, number] of groups.entries()) {
    one(`label[for=group-${index + 1}]`).textContent = words.group.replace("#", number);
    one(`#group-${index + 1}`).value = "";
  }
  one("#by-groups").hidden = false;
}

function onSubmit(form, action) {
  const message = form.querySelector("[role=alert]");
  const button = form.querySelector("button[type=submit]");
  form.onsubmit = async (event) => {
    event.preventDefault();
    message.textContent = "";
    button.disabled = true;
    try {
      await action();
      location.reload();
    } catch (error) {
      message.textContent = error.message === "mistyped" ? words.mistyped : error.message;
      button.disabled = false;
    }
  };
}

const typed = () => [one("#group-1").value, one("#group-2").value];

async function confirmByGroups() {
  await call("kit/confirm", { proof: await proofOf(typed(), words.salt) });
}

async function confirmByCode() {
  const code = await readCode(one("#whole").value);
  if ((await publicKeyOf(code)) !== words.public) throw new Error(words.wrongCode);
  const offer = await call("unlocks");
  await call(`unlocks/${offer.unlock_id}/prove`, { sealed_code: await seal(offer.public_key, offer.info, code) });
}

async function renew() {
  if (!(await isAble())) {
    one("#not-able").hidden = false;
    return;
  }
  const made = await makeKit();
  for (const part of ["#state", "#by-groups", "#by-code", "#again"]) one(part).hidden = true;
  await showKit(made.code, words.who, { isMadeHere: true });
  hideKit();
  ask(made.kit.check.groups);
  one("#again").hidden = false;
  one("#again").onclick = async () => {
    one("#by-groups").hidden = true;
    await showKit(made.code, words.who, { isMadeHere: true });
    hideKit();
    one("#by-groups").hidden = false;
  };
  one("#group-1").focus();
  let isKept = false;
  onSubmit(one("#by-groups"), async () => {
    const groups = made.code.split("-");
    const clean = (text) => text.replace(/[\s-]/g, "").toUpperCase();
    const wanted = made.kit.check.groups.map((number) => groups[number - 1]);
    if (typed().some((text, index) => clean(text) !== wanted[index])) throw new Error(words.wrongGroups);
    if (!isKept) await call("kit", made.kit);
    isKept = true;
    await call("kit/confirm", { proof: await proofOf(typed(), made.kit.check.salt) });
  });
}

if (words.groups) ask(words.groups.split(" "));
if (words.groups === "" && words.confirmed === "") one("#by-code").hidden = false;
onSubmit(one("#by-groups"), confirmByGroups);
onSubmit(one("#by-code"), confirmByCode);
one("#renew").onclick = renew;
one("#renew").disabled = false;
