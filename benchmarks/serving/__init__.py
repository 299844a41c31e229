"""The server under wrk, beside the same server stack with a constant answer."""
