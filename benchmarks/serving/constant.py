"""What no server on this stack can beat: read the body, send bytes that stand ready."""

from __future__ import annotations

import os
import sys
from typing import Any

import uvicorn

BODY = b"x" * int(os.environ.get("CONSTANT_BYTES", "2700"))
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", b"%d" % len(BODY)),
    ],
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application; it knows no lifespan."""
    if scope["type"] != "http":
        raise RuntimeError
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send(_START)
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
    )
