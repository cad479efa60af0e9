"""A web scraper with a rate limit: at most one page every so many seconds, through any crash.

    python examples/scraper.py                          scrapes a small site of its own
    python examples/scraper.py https://example.com 10   yours: at most 10 pages, one a second

The pause between two pages is durable, so a crash neither shortens it nor starts anew with the
first page. A page that fails is tried again, one that does not exist is not.
"""

from __future__ import annotations

import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from resonate import Context, Resonate
from resonate.errors import register_exception
from resonate.retry_policies import Exponential

resonate = Resonate(group="scraper")


@register_exception
class NotThere(Exception):
    """The site does not have the page."""


@dataclass
class Page:
    title: str
    links: list[str]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.title, self.links, self._inside = "", [], False

    def handle_starttag(self, tag, attrs):
        self._inside = tag == "title"
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")

    def handle_data(self, data):
        if self._inside:
            self.title += data

    def handle_endtag(self, _):
        self._inside = False


def fetch(_: Context, url: str) -> Page:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # the user's own URL
            text = answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise NotThere(url) from None
        raise OSError(f"{url}: {error.code}") from None
    reader = Reader()
    reader.feed(text)
    site = urllib.parse.urlsplit(url).netloc
    links = [urllib.parse.urljoin(url, link) for link in reader.links]
    links = [link for link in links if urllib.parse.urlsplit(link).netloc == site]
    return Page(reader.title, links)


@resonate.register
def scrape(ctx: Context, start: str, pages: int, seconds: float):
    waiting, seen, titles = [start], {start}, {}
    while waiting and len(seen) <= 10 * pages and len(titles) < pages:
        url = waiting.pop(0)
        try:
            page = yield ctx.run(fetch, url).options(
                retry_policy=Exponential(delay=seconds, max_retries=5),
                non_retryable_exceptions=(NotThere,),
            )
        except (NotThere, OSError) as error:
            titles[url] = f"({type(error).__name__})"
        else:
            titles[url] = page.title
            new = [link for link in dict.fromkeys(page.links) if link not in seen]
            seen.update(new)
            waiting += new
        yield ctx.sleep(seconds)
    return titles


# A small site to try it with. Its second page is busy at first.
PAGES = {
    "/": ("Home", ["/a", "/b"]),
    "/a": ("Page A", ["/", "/missing"]),
    "/b": ("Page B", ["/a", "/"]),
}
BUSY = {"/a"}


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        title, links = PAGES.get(self.path, ("", []))
        status = 503 if self.path in BUSY else 200 if title else 404
        BUSY.discard(self.path)
        body = f"<title>{title}</title>" + "".join(f'<a href="{link}">x</a>' for link in links)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def main(url="", pages="10", seconds="1"):
    site = None if url else ThreadingHTTPServer(("127.0.0.1", 0), Site)
    if site is not None:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{site.server_port}/"
    for found, title in scrape.run(f"scrape-{url}", url, int(pages), float(seconds)).items():
        print(urllib.parse.urlsplit(found).path, title)
    if site is not None:
        site.shutdown()
        site.server_close()
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
