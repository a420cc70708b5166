// Loads the scripts that this page has a use for. Every page works without them.
import "./time.js";
import "./form.js";
import "./dialog.js";

const parts = {
  "[data-live]": "./live.js",
  "[data-code]": "./code.js",
  "[data-preview-url]": "./preview.js",
  "[data-upload]": "./upload.js",
  "[data-bulk]": "./table.js",
  "[data-copy]": "./copy.js",
};
for (const [selector, module] of Object.entries(parts)) {
  if (document.querySelector(selector)) import(module);
}

// On a phone the tab that the page is may stand beyond the edge.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
