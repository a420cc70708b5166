// A live preview: <form data-preview-url="…"> fills the mail frame with [data-preview] while one types.
//
// The address is asked twice: with Accept: application/json for {"subject", "text"} or a problem with its errors, and, when
// that went well, by a form posted into the frame for the HTML. Not by srcdoc: such a document inherits the page's policy,
// which forbids the styles of a mail; an answer of its own brings a policy of its own.
import { markLine } from "./code.js";

const PAUSE_MS = 400;

for (const form of document.querySelectorAll("[data-preview-url]")) {
  const view = document.querySelector("[data-preview]");
  if (view) attach(form, view);
}

function attach(form, view) {
  const dark = view.querySelector('[value="dark"]');
  let timer = 0, running = null;

  async function refresh() {
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    const url = form.dataset.previewUrl + (dark.checked ? "?theme=dark" : "");
    try {
      const headers = { Accept: "application/json", "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]').content };
      const answer = await fetch(url, { method: "POST", body: typed(form), headers, signal });
      const data = await answer.json();
      if (signal.aborted) return;
      if (answer.ok && !data.errors?.length) showMail(view, data, () => postInto(view, url, typed(form)));
      showErrors(form, view, answer.ok ? data.errors || [] : data.errors?.length ? data.errors : [{ field: "", message: data.detail }]);
    } catch (error) {
      if (error.name !== "AbortError") showErrors(form, view, [{ field: "", message: "The preview could not be fetched. It is tried again as you type." }]);
    }
  }

  document.addEventListener("input", ({ target }) => { // fields of the form may stand outside of it
    if (target.form !== form) return;
    clearTimeout(timer);
    timer = setTimeout(refresh, PAUSE_MS);
  });
  view.addEventListener("change", ({ target }) => target.name === dark.name && refresh());
  document.addEventListener("keydown", (event) => { // Enter in a field beside the form asks for the preview, it does not save
    const { key, target } = event;
    if (key !== "Enter" || target.form !== form || form.contains(target) || target.tagName !== "INPUT") return;
    event.preventDefault();
    clearTimeout(timer);
    refresh();
  });
  refresh();
}

function typed(form) { // files are of no use to a preview
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") fields.append(name, value);
  return fields;
}

function showMail(view, data, fillFrame) {
  view.querySelector("[data-preview-subject]").textContent = data.subject || "(no subject)";
  const text = view.querySelector("[data-preview-text]");
  if (text) text.textContent = data.text || "";
  view.querySelector("[data-preview-plain]").hidden = data.has_dark_style;
  fillFrame();
}

function postInto(view, url, fields) {
  const old = view.querySelector("iframe");
  const frame = old.cloneNode(); // a new frame leaves no step in the browser's history, and the old one stays until it is filled
  frame.name = `preview-${Date.now()}`;
  frame.hidden = true;
  frame.classList.toggle("dark", url.endsWith("?theme=dark")); // the old one keeps its ground until then
  old.parentNode.querySelectorAll("iframe[hidden]").forEach((late) => late.remove());
  old.after(frame);
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: url, target: frame.name, hidden: true });
  for (const [name, value] of fields) {
    const field = document.createElement("textarea"); // an input would drop the line breaks
    Object.assign(field, { name, value });
    form.append(field);
  }
  frame.addEventListener("load", () => {
    const name = old.name;
    old.remove();
    Object.assign(frame, { hidden: false, name });
  }, { once: true });
  document.body.append(form);
  form.submit();
  form.remove();
}

function showErrors(form, view, errors) {
  for (const textarea of form.querySelectorAll("[data-code] textarea")) {
    const own = errors.find(({ field }) => field === textarea.name);
    markLine(textarea, own?.line || own?.message?.match(/line (\d+)/i)?.[1]);
  }
  const box = view.querySelector("[data-preview-errors]");
  box.hidden = !errors.length;
  box.className = "mail-errors tone-rejected";
  box.replaceChildren(...errors.map(({ field, line, message }) => {
    const paragraph = document.createElement("p");
    const where = [field && (form.elements[field]?.labels?.[0]?.firstChild?.textContent.trim() || field), line && `line ${line}`].filter(Boolean).join(", ");
    const said = line ? message.replace(/^Line \d+: /, "") : message; // its line stands before it already
    paragraph.textContent = where ? `${where}: ${said}` : said;
    return paragraph;
  }));
}
