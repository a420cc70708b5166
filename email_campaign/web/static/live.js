// Numbers that move: a [data-live] element asks its address every 2 s and fills the fields inside it.
//
// data-live-field="counts.accepted"   text of the element, or value of a <progress>
// data-live-format="number|percent|duration|text", data-live-of="total" (whole of a percent), data-live-max (of a progress)
// data-live-bar="counts"              a state bar with its legend
// data-live-reload                    load the page again when the answer says {"done": true}
// The answer's "sentence" is read out, at most every 5 s.
import { STATES, duration, number, percent, segments } from "./format.js";
import { sayWithTimes } from "./time.js";

const EVERY_MS = 2000, LONGEST_MS = 30000, SPEAK_MS = 5000;
const at = (data, path) => path.split(".").reduce((inner, key) => inner?.[key], data);

const said = new WeakMap(); // what an element was told last; with its times it reads differently

function showField(element, data) {
  const value = at(data, element.dataset.liveField);
  if (value === undefined) return;
  if (element instanceof HTMLProgressElement) {
    const max = at(data, element.dataset.liveMax || "");
    if (max) { element.max = max; element.value = value; }
    return;
  }
  const format = element.dataset.liveFormat || (typeof value === "number" || value === null ? "number" : "text");
  const text = { number, duration, text: (v) => v ?? "", percent: (v) => percent(v, at(data, element.dataset.liveOf)) }[format](value);
  if (said.get(element) !== text) sayWithTimes(element, text);
  said.set(element, text);
  if (element.parentElement.hidden && value !== null) element.parentElement.hidden = false;
}

function showBar(bar, counts) {
  const { total, drawn } = segments(counts);
  const svg = bar.querySelector("svg");
  const rects = new Map([...svg.querySelectorAll("rect")].map((rect) => [rect.classList[0].slice(5), rect]));
  for (const state of STATES) {
    const segment = drawn.find((one) => one.state === state);
    let rect = rects.get(state);
    if (!segment) { rect?.remove(); continue; }
    if (!rect) {
      rect = document.createElementNS(svg.namespaceURI, "rect");
      rect.setAttribute("class", `tone-${state}`);
      rect.setAttribute("height", "100%");
      svg.append(rect);
    }
    rect.setAttribute("x", `${segment.x}%`);
    rect.setAttribute("width", `${segment.width}%`);
    rect.querySelector("title")?.remove(); // its number is no longer true; the legend has it
  }
  for (const item of bar.querySelectorAll("[data-live-state]")) {
    const count = counts[item.dataset.liveState] || 0;
    item.hidden = !count;
    item.querySelector("b").textContent = number(count);
    item.querySelector(".number").textContent = percent(count, total);
  }
  bar.querySelector("[data-live-sum]").textContent = number(total);
}

function watch(root) {
  let wait = EVERY_MS, timer = 0, last = new Date(), spoken = 0, over = false;
  const stamp = root.querySelector("[data-live-stamp]");

  function show(data) {
    root.querySelectorAll("[data-live-field]").forEach((element) => showField(element, data));
    for (const bar of root.querySelectorAll("[data-live-bar]")) {
      const counts = at(data, bar.dataset.liveBar);
      if (counts) showBar(bar, counts);
    }
    const voice = root.querySelector("[data-live-say]");
    if (voice && data.sentence && Date.now() - spoken >= SPEAK_MS) {
      if (voice.textContent !== data.sentence) voice.textContent = data.sentence;
      spoken = Date.now();
    }
  }

  function cut() {
    wait = Math.min(wait * 2, LONGEST_MS);
    if (!stamp) return;
    stamp.textContent = `No connection: numbers as of ${last.toLocaleTimeString("en-GB")}`;
    stamp.hidden = false;
  }

  function isBusy() { // loading again would throw away what is being typed or asked
    return document.querySelector("dialog[open], form[data-changed]");
  }

  async function ask() {
    try {
      const answer = await fetch(root.dataset.live, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const data = await answer.json();
      last = new Date();
      wait = EVERY_MS;
      if (stamp) stamp.hidden = true;
      show(data);
      over = data.done === true;
    } catch { cut(); }
    if (over) {
      root.dataset.liveDone = "";
      if ("liveReload" in root.dataset && !isBusy()) location.reload();
      return;
    }
    next(wait);
  }

  function next(delay) {
    clearTimeout(timer);
    if (!document.hidden && !over) timer = setTimeout(ask, delay);
  }

  document.addEventListener("visibilitychange", () => next(0));
  next(EVERY_MS);
}

document.querySelectorAll("[data-live]:not([data-live-done])").forEach(watch);
