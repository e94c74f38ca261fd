#!/usr/bin/env python3
"""Whether a server of this container answers: exit code 0 for a 2xx within three seconds, else 1 and why.

answers http://127.0.0.1:8080/health

A slim image has neither curl nor wget. Asks no proxy: the address is this machine's.
"""

from __future__ import annotations

import sys
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

WITHIN_S = 3.0


def main(url: str) -> int:
    try:
        build_opener(ProxyHandler({})).open(url, timeout=WITHIN_S).close()
    except (OSError, HTTPException) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
