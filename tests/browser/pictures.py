"""Pictures of pages for the docs, and the words by which every later run sees that a page has changed since.

`make tour` takes them anew. Without it nothing is written: the words of each page are compared with those that stood on
it when its picture was taken. Numbers, times and rows of tables are left out, so that other contents are no change.
"""

import io
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from PIL import Image
from playwright.sync_api import Page

from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings

FOLDER = CHECKOUT / "docs" / "tour"
WORDS = "pictures.json"
TAKING = "PICTURES" in os.environ
COLOURS = 256
SLOW_MS = 30_000

_NUMBER = re.compile(r"\d[\d,.:]*(?<=\d)")
_READ = """
([of, skipped]) => {
  const lines = [];
  for (const root of document.querySelectorAll(of)) {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    let last = null;
    while (texts.nextNode()) {
      const words = texts.currentNode.data.replace(/\\s+/g, " ").trim();
      const element = texts.currentNode.parentElement;
      if (!words || element.closest(skipped) || !element.checkVisibility()) continue;
      const block = element.closest("nav, h1, h2, h3, button, dt, dd, label, legend, li, p, summary, th, div, section");
      if (block === last) lines[lines.length - 1] += " " + words;
      else lines.push(words);
      last = block;
    }
  }
  return lines;
}
"""
"""The visible words of a page, a line for each of its blocks."""
_SKIPPED = (
    "tbody, time, iframe, pre, svg, option, .legend, .task-line, .unseen, .conversation, .bulk, "
    "[data-live-field], [data-live-stamp]"
)
_MAKE_READY = """
(names) => {
  document.activeElement.blur();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    for (const [name, shown] of names) texts.currentNode.data = texts.currentNode.data.replaceAll(name, shown);
  }
}
"""


def names_of_this_machine(settings: Settings) -> dict[str, str]:
    """What no picture shows, and what stands there instead: as it is under `make run`."""
    return {
        f"127.0.0.1:{settings.web_port}": "127.0.0.1:8000",
        f"127.0.0.1:{settings.inbox_http_port}": "127.0.0.1:8025",
        f"127.0.0.1:{settings.inbox_smtp_port}": "127.0.0.1:1025",
        socket.gethostname(): "seedling",
    }


class Album:
    """The pictures of one walk."""

    def __init__(self, names: Mapping[str, str], folder: Path = FOLDER, *, taking: bool = TAKING) -> None:
        """`names` are said otherwise in pictures."""
        self._names = names
        self._folder = folder
        self._taking = taking
        self._words: dict[str, list[str]] = {}

    def take(self, page: Page, name: str, *, of: str = "body") -> None:
        """A picture of what stands in the window; the words are those of the elements `of` alone."""
        page.wait_for_load_state("load")  # its scripts have run by then
        page.evaluate(_MAKE_READY, list(self._names.items()))
        self._words[name] = [_NUMBER.sub("0", line) for line in page.evaluate(_READ, [of, _SKIPPED])]
        if self._taking:
            page.bring_to_front()  # what stands behind another window is not painted
            self._folder.mkdir(exist_ok=True)
            seen = Image.open(io.BytesIO(page.screenshot(animations="disabled", timeout=SLOW_MS))).convert("RGB")
            few = seen.quantize(palette=_palette(seen), dither=Image.Dither.NONE)
            few.save(self._folder / f"{name}.png", optimize=True)

    def close(self) -> None:
        """After the walk: write down the words, or fail where they are others than those of the pictures."""
        file = self._folder / WORDS
        if self._taking:
            for left in {one.stem for one in self._folder.glob("*.png")} - set(self._words):
                (self._folder / f"{left}.png").unlink()
            file.write_text(json.dumps(self._words, ensure_ascii=False, indent=1) + "\n")
            return
        known: dict[str, list[str]] = json.loads(file.read_text())
        changed = [
            f"{name}: {sign} {line}"
            for name in sorted(known.keys() | self._words.keys())
            for sign, ones, others in (("-", known, self._words), ("+", self._words, known))
            for line in ones.get(name, [])
            if line not in others.get(name, [])
        ]
        assert known == self._words, "\n".join(
            [
                "Pages have changed since their pictures were taken. Run `make tour`, look at docs/tour, commit it.",
                *changed,
            ]
        )


def _palette(picture: Image.Image) -> Image.Image:
    """The colours that a picture has most of, unchanged: grounds stay as they are; edges of letters take the next."""
    colours = cast("list[tuple[int, tuple[int, ...]]]", picture.getcolors(picture.width * picture.height) or [])
    counted = sorted(colours, reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, colour in counted for channel in colour])
    return palette
