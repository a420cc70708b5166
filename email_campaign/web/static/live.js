// Numbers that move. A [data-live] element says where they come from ("/admin/campaigns/12/live"), and its fields show them.
//
// data-live-field="counts.accepted"   text of the element, or value of a <progress>
// data-live-format="number|percent|duration|text", data-live-of="total" (whole of a percent), data-live-max (of a progress)
// data-live-bar="counts"              a state bar with its legend
// data-live-when="running"            shown while the answer's "state" is this one
// data-live-seen="sending"            the state that the page was made for; when it is another, the page is out of date
// data-live-reload                    load the page again when it is out of date, or when the answer says {"done": true}
// The answer's "sentence" is read out, at most every 5 s.
//
// One stream of server-sent events a page (web/admin/events.py) tells what changes. Where it fails, each address is asked every
// 2 s, and the stream tried again later. A tab that is hidden follows nothing: a browser opens six connections to a host.
import { STATES, duration, number, percent, segments } from "./format.js";
import { sayWithTimes } from "./time.js";

const ASK_MS = 2000, LONGEST_MS = 30000, SPEAK_MS = 5000;
const CALM_MS = 1000; // a page is not loaded again more often, whatever it is told
const SILENT_MS = 40000; // the server speaks every 15 s: a line that is silent for so long is cut
const AGAIN_MS = 60000; // so long after a stream failed the next one is tried
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
  const box = element.parentElement;
  if (box.parentElement?.matches(".task-line")) box.hidden = value === null || value === "";
  else if (box.hidden && value !== null) box.hidden = false;
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

const toSay = new Map();
let speaking = 0, spoken = -SPEAK_MS;

function say(voice, sentence) {
  const isNews = said.has(voice) && said.get(voice) !== sentence; // what the page was loaded with is read anyway
  said.set(voice, sentence);
  if (!isNews) return;
  toSay.set(voice, sentence);
  speaking ||= setTimeout(() => {
    for (const [one, text] of toSay) one.textContent = text;
    toSay.clear();
    speaking = 0;
    spoken = performance.now();
  }, Math.max(0, spoken + SPEAK_MS - performance.now()));
}

function isBusy() { // loading again would throw away what is being typed or asked
  return document.querySelector("dialog[open], form[data-changed]");
}

function reloadSoon() {
  if (isBusy() || performance.now() < CALM_MS) setTimeout(reloadSoon, CALM_MS);
  else location.reload();
}

class Watched { // one [data-live] element
  constructor(root) {
    this.root = root;
    this.address = root.dataset.live;
    this.topic = this.address.replace(/^\/admin\/|\/live$/g, "");
    this.stamp = root.querySelector("[data-live-stamp]");
    this.isOver = false;
  }

  show(data) {
    const { root } = this;
    root.querySelectorAll("[data-live-field]").forEach((element) => showField(element, data));
    for (const bar of root.querySelectorAll("[data-live-bar]")) {
      const counts = at(data, bar.dataset.liveBar);
      if (counts) showBar(bar, counts);
    }
    for (const part of root.querySelectorAll("[data-live-when]")) part.hidden = part.dataset.liveWhen !== data.state;
    const voice = root.querySelector("[data-live-say]");
    if (voice && data.sentence) say(voice, data.sentence);
    this.warn("");
    const { liveSeen } = root.dataset;
    if (data.done || (liveSeen && data.state && data.state !== liveSeen)) this.finish();
  }

  warn(text) {
    if (this.stamp && this.stamp.textContent !== text) this.stamp.textContent = text;
  }

  finish() {
    if (this.isOver) return;
    this.isOver = true;
    this.root.dataset.liveDone = "";
    if ("liveReload" in this.root.dataset) reloadSoon();
  }
}

const watched = [...document.querySelectorAll("[data-live]:not([data-live-done])")].map((root) => new Watched(root));
const followed = () => watched.filter((one) => !one.isOver);
let source = null, heard = new Date(), timer = 0, wait = ASK_MS, failures = 0, streamAt = 0, round = 0;

function warnAll(why) {
  const time = heard.toLocaleTimeString("en-GB", { timeZone: document.documentElement.dataset.zone === "utc" ? "UTC" : undefined });
  for (const one of followed()) one.warn(`${why}: numbers as of ${time}`);
}

function stop() {
  round += 1;
  clearTimeout(timer);
  source?.close();
  source = null;
}

function start() {
  stop();
  if (document.hidden || !followed().length) return;
  if (window.EventSource && performance.now() >= streamAt) listen();
  else ask();
}

function listen() {
  const topics = new Set(followed().map((one) => one.topic));
  const stream = new EventSource(`/admin/events?${new URLSearchParams([...topics].map((topic) => ["of", topic]))}`);
  source = stream;
  const hear = () => {
    heard = new Date();
    failures = 0;
    clearTimeout(timer);
    timer = setTimeout(giveUp, SILENT_MS);
  };
  for (const topic of topics) {
    stream.addEventListener(topic, ({ data }) => {
      if (source !== stream) return;
      hear();
      for (const one of followed()) if (one.topic === topic) one.show(JSON.parse(data));
      if (!followed().length) stop();
    });
  }
  stream.addEventListener("beat", hear);
  stream.addEventListener("away", () => warnAll("The database does not answer"));
  stream.addEventListener("error", () => {
    if (source !== stream) return;
    failures += 1;
    // The browser connects again by itself, unless it was refused. Where that fails too, something between us cuts streams.
    if (stream.readyState === EventSource.CLOSED || failures > 1) giveUp();
    else warnAll("No connection");
  });
  timer = setTimeout(giveUp, SILENT_MS);
}

function giveUp() {
  stop();
  failures = 0;
  wait = ASK_MS;
  streamAt = performance.now() + AGAIN_MS;
  ask();
}

class Refused extends Error {}

async function ask() { // each address for itself, until a stream may be tried again
  const mine = round;
  const asked = await Promise.allSettled(followed().map(async (one) => {
    const answer = await fetch(one.address, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Refused({ 401: "You are signed out", 503: "The database does not answer" }[answer.status] || "The server refuses");
    one.show(await answer.json());
  }));
  if (mine !== round) return; // hidden and shown again meanwhile
  const failed = asked.find(({ status }) => status === "rejected");
  if (failed) {
    wait = Math.min(wait * 2, LONGEST_MS);
    warnAll(failed.reason instanceof Refused ? failed.reason.message : "No connection");
  } else {
    heard = new Date();
    wait = ASK_MS;
  }
  timer = setTimeout(start, wait);
}

document.addEventListener("visibilitychange", start);
start();
