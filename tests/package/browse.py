#!/usr/bin/env python3
"""Looks at the status page in a browser: both themes, on a phone and on a desktop. It runs with the tools' Python, and prints a JSON
object: each test, and what is wrong.

    browse.py CHROMIUM URL FOLDER       screenshots go into the folder
"""
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
THEMES = "light", "dark"
# Long enough for plots that show something.
LOOKS_MS = 45_000
ROUTES = ("payments", "mail", "thumbnails-of-uploaded-documents-and-scans", "reports")

# Elements that stick out to the right.
OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  const out = document.documentElement.scrollWidth > wide ? [`the page has ${document.documentElement.scrollWidth} pixels`] : [];
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width > 0 && box.right > wide + 0.5) out.push(`${element.tagName} ${element.className} ends at ${box.right}`);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1) out.push(`${element.tagName} ${element.className} is cut`);
  }
  return out;
}"""

# Texts whose contrast is less than WCAG's level AA asks for: 4.5, or 3 where they are large.
CONTRAST = """() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const out = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, style = getComputedStyle(element);
    if (!texts.currentNode.textContent.trim() || !element.getClientRects().length || ["SCRIPT", "NOSCRIPT"].includes(element.tagName)) continue;
    const [a, b] = [light(numbers(style.color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) out.add(`${element.tagName} ${element.className}: ${contrast.toFixed(2)}`);
  }
  return [...out];
}"""

ENDED = "() => Number(document.querySelector('#facts [data-ended]').innerText.match(/[0-9,]+/)[0].replaceAll(',', ''))"


class Look:
    """A page in a theme and a size, with what its browser complains about."""

    def __init__(self, browser, url, name, script=True, **context):
        self.name, self.complaints, self.hosts = name, [], set()
        self.page = browser.new_context(java_script_enabled=script, **context).new_page()
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc or request.url[:20]))
        self.page.goto(url)

    def others(self, url):
        return [f"{self.name}: {host}" for host in self.hosts - {urlsplit(url).netloc} if not host.startswith("data:")]


def is_readable(page):
    """What of the table a person can't read."""
    problems = []
    for route in ROUTES:
        row = page.locator(f"tbody[data-key='route {route}']")
        text = row.inner_text() if row.is_visible() else ""
        problems += [] if route in text else [f"no row of {route}"]
    words = page.locator("#routes").inner_text() + page.locator("#problems").inner_text()
    wanted = ("refused: UnknownResourceFault", "SWF: create the domain.", "waiting for a consumer", "AWS refuses to be polled")
    return problems + [f"no {word!r}" for word in wanted if word not in words]


def says(page, words):
    """What is wrong with what the page says of itself."""
    try:
        page.wait_for_selector(f"#live:text-is('{words}')", timeout=20_000)
        return []
    except Exception as error:
        return [f"{page.locator('#live').inner_text()!r} and not {words!r}: {str(error)[:100]}"]


def main(chromium, url, folder):
    tests = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        looks = [Look(browser, url, f"status-{theme}-{size}", color_scheme=theme, viewport=view)
                 for theme in THEMES for size, view in SIZES.items()]
        first = looks[0].page
        ended = first.evaluate(ENDED)
        first.wait_for_timeout(LOOKS_MS)
        later = first.evaluate(ENDED)
        tests["the_page_shows_newer_numbers_by_itself"] = [] if later > ended else [f"{ended} tasks, and later {later}"]
        for look in looks:
            look.page.bring_to_front()
            lines = look.page.locator(".plot path.line").count()
            tests[f"{look.name}_has_plots"] = [] if lines >= 3 else [f"{lines} lines"]
            tests[f"{look.name}_can_be_read"] = is_readable(look.page)
            tests[f"nothing_of_{look.name}_sticks_out"] = look.page.evaluate(OVERFLOW)
            tests[f"{look.name}_has_enough_contrast"] = look.page.evaluate(CONTRAST)
            tests[f"the_browser_has_nothing_against_{look.name}"] = list(look.complaints)
            # By default a screenshot puts a style into the page, which the page's policy refuses.
            look.page.screenshot(path=Path(folder) / f"{look.name}.png", full_page=True, caret="initial", animations="allow")
        tests["the_page_asks_no_other_host"] = [host for look in looks for host in look.others(url)]
        for size, view in SIZES.items():
            plain = Look(browser, url, size, script=False, viewport=view)
            problems = is_readable(plain.page) + plain.complaints + plain.others(url)
            problems += [] if "Reload for newer numbers" in plain.page.locator("header").inner_text() else ["it does not say so"]
            tests[f"without_javascript_a_{size}_shows_the_tables"] = problems
        first.bring_to_front()
        first.evaluate("() => getSelection().selectAllChildren(document.getElementById('routes'))")
        selected = says(first, "not updated while text is selected")
        first.evaluate("() => getSelection().removeAllRanges()")
        tests["the_page_says_that_it_is_not_updated_while_text_is_selected"] = selected + says(first, "live")
        first.route("**/*", lambda route: route.abort())
        try:
            first.wait_for_selector("#live.bad", timeout=20_000)
            tests["the_page_says_that_the_bridge_does_not_answer"] = []
        except Exception as error:
            tests["the_page_says_that_the_bridge_does_not_answer"] = [str(error)[:200]]
        browser.close()
    print(json.dumps(tests, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
