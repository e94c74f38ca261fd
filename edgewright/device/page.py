"""A page with the live picture and its boxes, on this machine alone. Standard library.

    GET /                  the page
    GET /frame.jpg         the newest frame with its boxes
    GET /detections.json   what was detected on it

Decides nothing: it shows the newest frame, drawn when somebody asks. Binds to loopback and refuses any other address
(who may look at a camera is no question for a page without passwords: `ssh -L 8474:127.0.0.1:8474 device`), and
questions that were put to another name than this machine's, as a page elsewhere could have a browser do.

    with serve_page(8474) as page:
        page.show(sighting)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from edgewright.addresses import LOOPBACK
from edgewright.device.outputs import line_of
from edgewright.device.sighting import Sighting
from edgewright.errors import StoreUnavailable

_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>edgewright</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/page.css"><script src="/page.js" defer></script>
<main><h1 id="who">edgewright</h1><p id="when">no frame yet</p>
<img id="frame" alt="The newest frame with its boxes"><table id="found"></table></main>
</html>"""
_CSS = """:root { color-scheme: dark; font: 16px/1.5 system-ui, sans-serif; background: #101214; color: #e8eaed }
main { max-width: 1100px; margin: 1.5rem auto; padding: 0 1rem }
h1 { font-size: 1.1rem; margin: 0 } p { margin: 0 0 .75rem; color: #9aa0a6 } p.away { color: #ffb400 }
img { width: 100%; border-radius: 6px; background: #1c1f23; min-height: 12rem }
table { border-collapse: collapse; margin-top: .75rem } td { padding: .1rem 1.5rem .1rem 0 }
td + td { font-variant-numeric: tabular-nums }"""
_JS = """const at = id => document.getElementById(id);
async function look() {
  let rest = 250;
  try {
    const told = await (await fetch("/detections.json", {signal: AbortSignal.timeout(5000)})).json();
    if (told.frame) {
      const frame = at("frame");
      frame.src = "/frame.jpg?" + encodeURIComponent(told.frame);
      await frame.decode().catch(() => {});
      const rows = (told.detections || []).map(each => {
        const row = document.createElement("tr");
        for (const text of [each.class, each.score.toFixed(2), each.xyxy.map(Math.round).join(" ")])
          row.appendChild(document.createElement("td")).textContent = text;
        return row;
      });
      at("found").replaceChildren(...rows);
      at("who").textContent = `${told.device}, release ${told.release}`;
      at("when").textContent = told.error ? `${told.frame}: ${told.error}` : `${told.frame}: ${rows.length} found`;
    }
    at("when").className = "";
  } catch {
    at("when").className = "away";
    at("when").textContent = "the device does not answer; asking again";
    rest = 2000;
  }
  setTimeout(look, rest);
}
look();"""
_POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'"
_FILES = {
    "/": ("text/html; charset=utf-8", _HTML),
    "/page.css": ("text/css", _CSS),
    "/page.js": ("text/javascript", _JS),
}


class Page:
    """Made by `serve_page`."""

    def __init__(self) -> None:
        self.newest: Sighting | None = None

    def show(self, sighting: Sighting) -> None:
        self.newest = sighting


@contextmanager
def serve_page(port: int) -> Iterator[Page]:
    """Serve in a thread until the block ends; raises StoreUnavailable where the port is taken."""
    page = Page()
    try:
        server = _Server(("127.0.0.1", port), page)
    except OSError as error:
        taken = f"127.0.0.1:{port}"
        raise StoreUnavailable("the page cannot be served", got=error.strerror, where=taken) from error
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="page", daemon=True).start()
    try:
        yield page
    finally:
        server.shutdown()
        server.server_close()


def _host(named: str) -> str:
    try:
        return urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: Page) -> None:
        super().__init__(address, _Handler)
        self.page = page


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        newest = self.server.page.newest
        if _host(self.headers.get("Host", "")) not in LOOPBACK:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"asked under another name than this machine's\n")
        elif path in _FILES:
            kind, text = _FILES[path]
            self._answer(HTTPStatus.OK, kind, text.encode())
        elif path == "/detections.json":
            self._answer(HTTPStatus.OK, "application/json", line_of(newest.message if newest else {}).encode())
        elif path == "/frame.jpg" and newest and newest.seen:
            self._answer(HTTPStatus.OK, "image/jpeg", newest.seen.drawn())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"not here\n")

    def _answer(self, status: HTTPStatus, kind: str, payload: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(payload)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """A look a quarter of a second is no news."""
