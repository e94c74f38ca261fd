"""The device's end of the line to its fleet's collector: one question, one answer, both ends proven by certificates.

Decides how much of an answer is read, and what a failure means: away, or refused. Refuses an answer that is longer than
asked for, and one that is not what was asked for.

    answer = ask("https://gate:8472", "/events", context=identity.context(), body={"events": []})
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from edgewright.addresses import shown, why
from edgewright.errors import DeviceUnreachable, UpdateRefused

MAX_ANSWER_BYTES = 1_000_000
_TIMEOUT_S = 15.0


def ask(
    url: str,
    path: str,
    *,
    context: ssl.SSLContext,
    body: Mapping[str, Any] | None = None,
    payload: bytes | None = None,
) -> dict[str, Any]:
    """What the collector answers: to a GET, or to a POST where there is a body, or a payload that is no JSON.

    Raises:
        DeviceUnreachable: there is no line, or the collector cannot answer now.
        UpdateRefused: it refuses, and says why.
    """
    place = urlsplit(url)
    sent = payload if body is None else json.dumps(body).encode()
    connection = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=_TIMEOUT_S, context=context)
    try:
        with closing(connection):
            connection.request(
                "GET" if sent is None else "POST",
                f"{place.path.rstrip('/')}{path}",
                body=sent,
                headers={"Content-Type": "application/json" if payload is None else "application/octet-stream"},
            )
            response = connection.getresponse()
            told = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise DeviceUnreachable("the collector does not answer", got=why(error), where=shown(url)) from error
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise DeviceUnreachable("the collector cannot answer now", got=response.status, where=shown(url))
    answer = _parsed(told, where=shown(url))
    if response.status != HTTPStatus.OK:
        got = f"{response.status}: {str(answer.get('why', 'no reason'))[:500]}"
        raise UpdateRefused("the collector refuses", got=got, where=shown(url))
    return answer


def _parsed(payload: bytes, *, where: str) -> dict[str, Any]:
    if len(payload) > MAX_ANSWER_BYTES:
        expected = f"at most {MAX_ANSWER_BYTES} bytes"
        raise UpdateRefused("the collector's answer is too long", expected=expected, where=where)
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UpdateRefused("the collector's answer is no JSON", got=error, where=where) from error
    if not isinstance(answer, dict):
        raise UpdateRefused("the collector's answer is no object", got=type(answer).__name__, where=where)
    return answer
