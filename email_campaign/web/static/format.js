// Numbers, durations and shares as the server writes them (email_campaign/web/formatting.py).

const NOTHING = "–";
export const STATES = ["accepted", "sending", "deferred", "unknown", "rejected", "skipped", "cancelled", "pending"];
const SMALLEST_SHARE = 0.6;

export function number(value) {
  if (value === null || value === undefined) return NOTHING;
  return value.toLocaleString("en", { maximumFractionDigits: 1 });
}

export function percent(part, whole) {
  if (part === null || part === undefined || !whole) return NOTHING;
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.1) return "<0.1%";
  if (share > 99.9 && share < 100) return ">99.9%";
  return `${share.toFixed(1)}%`.replace(".0%", "%");
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  let rest = Math.max(0, Math.round(seconds));
  if (!rest) return seconds <= 0 ? "0 s" : "<1 s";
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].map(([unit, length]) => {
    const amount = Math.floor(rest / length);
    rest -= amount * length;
    return [amount, unit];
  });
  const first = parts.findIndex(([amount]) => amount);
  return parts.slice(first, first + 2).filter(([amount]) => amount).map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

export function segments(counts) {
  const total = STATES.reduce((sum, state) => sum + (counts[state] || 0), 0);
  const present = STATES.filter((state) => counts[state]);
  const widths = present.map((state) => Math.max(SMALLEST_SHARE, (100 * counts[state]) / total));
  if (widths.length) {
    const widest = widths.indexOf(Math.max(...widths));
    widths[widest] -= widths.reduce((sum, width) => sum + width, 0) - 100;
  }
  let x = 0;
  const drawn = present.map((state, i) => ({ state, x: (x += widths[i]) - widths[i], width: widths[i] }));
  return { total, drawn };
}
