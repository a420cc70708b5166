// Forms: the first wrong field focused, nothing sent twice, nothing typed lost, nothing sent that is too large.
import { number } from "./format.js";

const wrong = document.querySelector('main [data-collision], main [aria-invalid="true"]');
if (wrong) {
  wrong.focus();
  const form = wrong.closest("form");
  if (form?.matches("[data-guard]")) form.dataset.changed = ""; // what was refused is not saved either
}

document.addEventListener("input", ({ target }) => {
  const form = target.form;
  if (form?.matches("[data-guard]")) form.dataset.changed = "";
});

document.addEventListener("change", ({ target }) => { // told before megabytes are sent for nothing
  if (!target.dataset.maxBytes) return;
  const bytes = [...target.files].reduce((sum, file) => sum + file.size, 0), most = Number(target.dataset.maxBytes);
  target.setCustomValidity(bytes > most ? `These files have ${number(Math.ceil(bytes / 1e5) / 10)} MB, and a mail carries ${number(most / 1e6)} MB at most. Choose smaller ones.` : "");
  target.reportValidity();
});

document.addEventListener("submit", (event) => {
  const form = event.target, button = event.submitter;
  const large = form.querySelector("[data-max-bytes]:invalid");
  if (large && !button?.formTarget) {
    event.preventDefault();
    large.reportValidity();
    return;
  }
  if (event.defaultPrevented || form.method === "dialog" || button?.formTarget || form.method === "get") return;
  if ("sent" in form.dataset) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  delete form.dataset.changed;
  button?.setAttribute("aria-busy", "true"); // not disabled: its name and value are part of what is sent
});

window.addEventListener("beforeunload", (event) => {
  if (document.querySelector("form[data-changed]")) event.preventDefault();
});

window.addEventListener("pageshow", ({ persisted }) => { // back to a page that the browser had kept
  if (!persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
});
