// Shows a recovery code on the sheet to print and keep, with its QR, and waits until the reader has stored it.
import { generate } from "/assets/lean-qr/index.mjs";

const QUIET = 4; // modules of white around a QR: ISO/IEC 18004 § 9.1
const one = (selector) => document.querySelector(selector);

/** Show the code of `who`; resolves when the reader says that it is stored and goes on. */
export function showKit(code, who, { isMadeHere }) {
  const shown = one("#code");
  shown.replaceChildren(...code.split("-").map((group) => Object.assign(document.createElement("span"), { textContent: group })));
  draw(one("#qr"), code);
  one("#whose").textContent = who;
  one("#made-here").hidden = !isMadeHere;
  one("#made-there").hidden = isMadeHere;
  one("#recovery").hidden = false;
  one("#recovery-title").focus();
  document.documentElement.classList.add("has-kit");
  one("#print").onclick = () => window.print();
  one("#copy").onclick = () => copy(code, shown);
  const tick = one("#stored");
  const onward = one("#continue");
  tick.checked = false;
  onward.disabled = true;
  tick.onchange = () => {
    onward.disabled = !tick.checked;
  };
  const stay = (event) => event.preventDefault();
  window.addEventListener("beforeunload", stay);
  window.addEventListener("beforeprint", () => one(".kit-how").setAttribute("open", ""));
  return new Promise((resolve) => {
    onward.onclick = () => {
      onward.disabled = true;
      window.removeEventListener("beforeunload", stay);
      resolve();
    };
  });
}

/** Take the code off the page. */
export function hideKit() {
  one("#recovery").hidden = true;
  one("#code").replaceChildren();
  one("#qr").replaceChildren();
}

async function copy(code, shown) {
  const said = one("#copied");
  try {
    await navigator.clipboard.writeText(code);
    said.textContent = said.dataset.done;
  } catch {
    getSelection().selectAllChildren(shown);
    said.textContent = said.dataset.selected;
  }
}

function draw(svg, text) {
  const bitmap = generate(text);
  const squares = [];
  for (let y = 0; y < bitmap.size; y += 1) {
    for (let x = 0; x < bitmap.size; x += 1) if (bitmap.get(x, y)) squares.push(`M${x + QUIET} ${y + QUIET}h1v1h-1z`);
  }
  const side = bitmap.size + 2 * QUIET;
  svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", squares.join(""));
  svg.replaceChildren(path);
}
