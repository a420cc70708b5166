// Times in the viewer's zone (or in UTC, by choice), relative ones kept fresh, and the zone of date fields.

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const zone = () => (document.documentElement.dataset.zone === "utc" ? "UTC" : undefined);

function absolute(at, precision) {
  const parts = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  if (precision === "seconds") parts.second = "2-digit";
  return new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: zone() }).format(at);
}

function clock(at) {
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZone: zone() };
  return new Intl.DateTimeFormat("en-GB", parts).format(at);
}

function relative(at) {
  const difference = (at - Date.now()) / 1000, distance = Math.abs(difference);
  if (distance < 45) return difference <= 0 ? "just now" : "in a moment";
  if (distance >= 30 * DAY) return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: zone() }).format(at);
  let words;
  if (distance < 90 * MINUTE) words = counted(Math.max(1, Math.round(distance / MINUTE)), "minute");
  else if (distance < 36 * HOUR) words = counted(Math.round(distance / HOUR), "hour");
  else words = counted(Math.round(distance / DAY), "day");
  return difference < 0 ? `${words} ago` : `in ${words}`;
}

export function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-time]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const kind = element.dataset.time;
    const text = kind === "relative" ? relative(at) : kind === "clock" ? clock(at) : absolute(at, kind);
    if (element.textContent !== text) element.textContent = text;
    element.title = absolute(at, "seconds");
  }
}

// A sentence of the server with its times as the page shows them (email_campaign/web/prose.py).
export function sayWithTimes(element, text) {
  const parts = text.split(/(\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d:\d\d UTC)/).map((part, i) => {
    const at = i % 2 ? new Date(part.replace(",", "")) : null;
    if (!at || Number.isNaN(at.getTime())) return part;
    const time = document.createElement("time");
    Object.assign(time, { dateTime: at.toISOString(), textContent: part });
    time.dataset.time = "seconds";
    return time;
  });
  element.replaceChildren(...parts);
  showTimes(element);
}

// A date field whose value is still in UTC is shown, and sent, in the browser's zone.
function adoptZone(field) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const wrapper = field.closest(".field");
  const sent = wrapper.querySelector("[data-zone]");
  if (!own || sent.value !== "UTC") return;
  if (field.value) {
    const at = new Date(`${field.value}Z`);
    field.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    field.defaultValue = field.value;
  }
  sent.value = own;
  wrapper.querySelector("[data-zone-word]").textContent = own.replaceAll("_", " ");
}

document.querySelectorAll("[data-moment]").forEach(adoptZone);
showTimes();
setInterval(showTimes, 30000, document);
document.addEventListener("chosen", ({ detail }) => detail === "zone" && showTimes());
