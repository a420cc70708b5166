// Live inbox: asks a tiny endpoint for news, swaps the list in place, and tells times in the reader's zone.

const POLL_MILLISECONDS = 2000;
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function tellTimes() {
  for (const element of document.querySelectorAll("time")) {
    const moment = new Date(element.dateTime);
    element.title = exact.format(moment);
    element.textContent = "exact" in element.dataset ? exact.format(moment) : ago((moment - Date.now()) / 1000);
  }
}

function ago(seconds) {
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds <= -length) return relative.format(Math.round(seconds / length), unit);
  }
  return seconds > -10 ? "just now" : relative.format(Math.round(seconds), "second");
}

async function look(live) {
  const answer = await fetch(live.dataset.live);
  const news = await answer.json();
  if (String(news.changes) === live.dataset.changes) return live;
  // Never take the row away under a reader's cursor: offer the news instead.
  if (live.dataset.replace !== "yes" || live.contains(document.activeElement)) {
    live.querySelector(".news").hidden = false;
    return live;
  }
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (fresh === null) return live;
  live.replaceWith(fresh);
  document.title = page.title;
  return fresh;
}

async function watch(live) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    if (document.hidden) continue;
    try {
      live = await look(live);
    } catch {
      // The inbox is being restarted: the next look finds it again.
    }
    tellTimes();
  }
}

tellTimes();
const list = document.querySelector("[data-live]");
if (list !== null) watch(list);
