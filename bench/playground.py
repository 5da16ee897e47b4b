"""How soon the page is seen, how smoothly it plays, and that it doesn't grow, in headless Chromium.

Run `python bench/playground.py`, with `--site out/site` for the pages that `make site` builds as well. When there is
first something to read is the browser's own record (first-contentful-paint), each page loaded several times. Frames
are counted with twenty optimizers and both charts open, with and without the view in three dimensions, without a
graphics card, so that a frame costs more than where there is one. Growth is that of the heap after a collection over
as many frames as five minutes have, played as fast as they come, with a knob moved every second.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ravine.playground import write
from ravine.playground.presets import PRESETS

FLAGS = "--headless=new --no-sandbox --no-first-run --force-device-scale-factor=1 --window-size=1280,900 "
FLAGS += "--enable-unsafe-swiftshader --enable-precise-memory-info"
FAMILY = next(p.link for p in PRESETS if p.name == "family")
SECONDS = 6
FRAMES = 5 * 60 * 60
LOADS = 7

COUNT = """
const [seconds, done] = arguments;
const usual = window.requestAnimationFrame.bind(window);
let [frames, work, first] = [0, 0, null];
const times = [];
window.requestAnimationFrame = (callback) => usual((t) => {
  const before = performance.now();
  callback(t);
  times.push(performance.now() - before);
});
const tick = (t) => {
  first ??= t;
  if (t - first > 1000 * seconds) {
    window.requestAnimationFrame = usual;
    times.sort((a, b) => a - b);
    return done([frames / (t - first) * 1000, times[times.length >> 1], times[Math.floor(0.95 * times.length)]]);
  }
  frames++;
  usual(tick);
};
usual(tick);
"""

FAST = """
const [frames, every, done] = arguments;
const usual = window.requestAnimationFrame;
const knob = document.querySelector('[aria-label="lr"]');
let left = frames;
window.requestAnimationFrame = (callback) => setTimeout(() => {
  if (left-- <= 0) {
    window.requestAnimationFrame = usual;
    done(true);
  } else if (left % every === 0) {
    knob.value = String(300 + (left % 301));
    knob.dispatchEvent(new Event("input"));
    knob.dispatchEvent(new Event("change"));
  }
  callback(performance.now());
});
"""


@contextmanager
def opened(address: str, link: str) -> Iterator[Any]:
    """A browser with the page at a link."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tempfile.mkdtemp()}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    browser.set_script_timeout(280)
    browser.command_executor.client_config.timeout = 300
    try:
        browser.get(f"{address}#{link}")
        yield browser
    finally:
        browser.quit()


def heap(browser: Any) -> float:
    """Megabytes of objects and arrays in use after a collection; twice, since one leaves what finalizers hold."""
    for _ in range(2):
        browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    usage = browser.execute_cdp_cmd("Runtime.getHeapUsage", {})
    return float(usage["usedSize"] + usage["backingStorageSize"]) / 1e6


def painted(page: Path) -> None:
    """Print how large a page is and after how long it shows something."""
    first = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    times = []
    with opened("about:blank", "") as browser:
        for _ in range(LOADS):
            browser.get("about:blank")
            browser.get(page.as_uri())
            while (found := browser.execute_script(first)) is None:
                time.sleep(0.02)
            times.append(found)
    size = page.stat().st_size / 1000
    print(f"{page.name}: {size:.0f} KB, first paint after {sorted(times)[LOADS // 2]:.0f} ms, at most {max(times):.0f}")


def main() -> None:
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=FRAMES, help="how many frames the heap is watched for")
    parser.add_argument("--site", type=Path, help="the folder of a built site")
    chosen = parser.parse_args()
    file = write(Path(tempfile.mkdtemp()) / "page.html")
    address = file.as_uri()
    painted(file)
    for name in ("index.html", "course/index.html", "course/when.html", "rules.html") if chosen.site else ():
        painted((chosen.site / name).resolve())
    for name, more in (("charts", ""), ("charts and three dimensions", "&relief=30,40")):
        with opened(address, f"{FAMILY}&loop=1{more}") as browser:
            browser.execute_async_script("setTimeout(arguments[0], 1500)")
            rate, median, late = browser.execute_async_script(COUNT, SECONDS)
        print(f"20 optimizers, {name}: {rate:.1f} frames/s; script {median:.1f} ms a frame, 95 % below {late:.1f} ms")
    with opened(address, f"{FAMILY}&loop=1&speed=300") as browser:
        browser.execute_async_script(FAST, 600, 2)  # code is compiled, and what undo keeps is full
        heaps = [heap(browser)]
        for _ in range(0, chosen.frames, 3000):
            browser.execute_async_script(FAST, 3000, 60)
            heaps.append(heap(browser))
    print("heap after every 3,000 frames:", ", ".join(f"{mb:.2f} MB" for mb in heaps))


if __name__ == "__main__":
    main()
