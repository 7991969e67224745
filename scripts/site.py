#!/usr/bin/env python3
"""`make docs`: the documents as a site in .dev/site/book, with a search, and each link and anchor of its pages followed.

docs/site/SUMMARY.md lists the pages. They are copied to a folder in which each has its path in the repository, so that their links to
each other hold. What else they link to, an example or a manifest, is copied beside them.
"""
import html
import os
import re
import shutil
import subprocess

import venv
from system import DEV, ROOT, Failure, main, say

SITE = ROOT / "docs/site"
REQUIREMENTS = ROOT / "scripts/site-requirements.txt"
OUT = DEV / "site"
SOURCE, BOOK = OUT / "source", OUT / "book"
ALERTS = ROOT / "deploy/prometheus/activity-bridge.rules.yml"
# The target of a link of Markdown, without its anchor.
LINK = re.compile(r"(\]\()([^)\s#]+)")


def targets(text):
    """The files and folders of the repository that a page links to, as it writes them."""
    return [target for _, target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def in_repository(target, folder):
    """The path of a link's target from the root of the repository."""
    path = os.path.normpath(os.path.join(folder, target))
    if path.startswith("..") or not (ROOT / path).exists():
        raise Failure(f"{folder}: {target} leads out of the repository, or nowhere")
    return path


def as_page(link):
    """A link as it leads to a page: mdBook makes index.html of a README, and leaves links to it as they are."""
    target = link[2]
    return link[1] + (target[:-len("README.md")] + "index.md" if target.endswith("README.md") else target)


def copy(path):
    destination = SOURCE / path
    if (ROOT / path).is_dir():
        names = sorted(file.name for file in (ROOT / path).iterdir() if file.is_file())
        for name in names:
            copy(os.path.join(path, name))
        # A server shows no list of the files of a folder.
        items = "".join(f'<li><a href="{html.escape(name)}">{html.escape(name)}</a></li>' for name in names)
        (destination / "index.html").write_text(f"<!doctype html><title>{html.escape(path)}</title><ul>{items}</ul>\n")
    else:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, destination)


def stage():
    """The sources of the book; how many pages it has."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    for name in "book.toml", "site.css":
        shutil.copyfile(SITE / name, OUT / name)
    summary = (SITE / "SUMMARY.md").read_text()
    pages = {in_repository(target, "docs/site") for target in targets(summary)}
    (SOURCE / "SUMMARY.md").write_text(LINK.sub(lambda link: link[1] + in_repository(link[2], "docs/site"), summary))
    for page in pages:
        text = (ROOT / page).read_text()
        (SOURCE / page).parent.mkdir(parents=True, exist_ok=True)
        (SOURCE / page).write_text(LINK.sub(as_page, text))
        for target in targets(text):
            path = in_repository(target, os.path.dirname(page))
            if path not in pages:
                if path.endswith(".md"):
                    raise Failure(f"{page} links to {path}, which docs/site/SUMMARY.md does not list")
                copy(path)
    return len(pages)


def run(*command):
    if subprocess.run(list(map(str, command)), cwd=OUT).returncode != 0:
        raise Failure(f"`{' '.join(map(str, command))}` failed")


def follow_alerts():
    """The links of alerts, which lychee can't follow: the address at which the site is published is not known."""
    links = re.findall(r"runbook_url: https://YOUR-DOCS/(.+)#(.+)", ALERTS.read_text())
    for page, anchor in links:
        if not (BOOK / page).exists() or f'id="{anchor}"' not in (BOOK / page).read_text():
            raise Failure(f"{ALERTS.name} links to {page}#{anchor}, which the site does not have")
    if not links:
        raise Failure(f"{ALERTS.name} has no links")


def body():
    tools = venv.ensure(REQUIREMENTS, folder=OUT / "venv").parent
    pages = stage()
    run(tools / "mdbook", "build", OUT)
    # The pages, and not their sources: the anchors are those that mdBook makes.
    run(tools / "lychee", "--offline", "--include-fragments", "--no-progress", "--root-dir", BOOK, BOOK)
    follow_alerts()
    say(f"{pages} pages: {(BOOK / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main(body)
