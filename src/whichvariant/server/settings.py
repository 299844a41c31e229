"""What an operator can set: one table, from which flags, environment and documentation are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from whichvariant.profiles.settings import ProfileSettings

if TYPE_CHECKING:
    from whichvariant.service.settings import ServiceSettings

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a server. Each can be given as a flag, in the environment and in a TOML file.

    The descriptions below are what ``whichvariant serve --help`` prints.
    """

    # ---- where it listens
    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="The port; 0 takes a free one.")] = 8000
    workers: Annotated[
        int, Meta(ge=1, le=256, description="Processes that share the port and the store.")
    ] = 1

    # ---- what it decides
    config: Annotated[
        tuple[str, ...],
        Meta(
            description="Configuration: FILE, ORGANIZATION/ENVIRONMENT=FILE, or a directory of"
            " ORGANIZATION/ENVIRONMENT folders. Documents of one environment are merged."
        ),
    ] = ()
    organization: Annotated[
        str, Meta(min_length=1, description="The organization of a plain FILE.")
    ] = "default"
    environment: Annotated[
        str, Meta(min_length=1, description="The environment of a plain FILE.")
    ] = "main"
    strict: Annotated[
        bool,
        Meta(
            description="Refuse a configuration that has errors, instead of leaving out what"
            " they concern."
        ),
    ] = False
    reload_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="How often files are looked at for changes; 0: never."),
    ] = 2.0

    delivery: Annotated[
        tuple[str, ...],
        Meta(
            description="Configuration from Contentful's Delivery API:"
            " [ORGANIZATION/ENVIRONMENT=]SPACE[/ENVIRONMENT]."
        ),
    ] = ()
    delivery_token: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Its access token; for several spaces SPACE=TOKEN,SPACE=TOKEN.",
            extra={"secret": True},
        ),
    ] = None
    delivery_url: Annotated[
        str, Meta(pattern="^https?://", description="The Delivery API's address.")
    ] = "https://cdn.contentful.com"
    delivery_poll_s: Annotated[
        float, Meta(ge=0, le=86_400, description="How often it is asked for changes; 0: never.")
    ] = 60.0
    delivery_cache: Annotated[
        str,
        Meta(
            description="A folder for what was read last, to start from where the Delivery API"
            " cannot be reached."
        ),
    ] = ""
    webhook_secret: Annotated[
        Annotated[str, Meta(min_length=16)] | None,
        Meta(
            description="Contentful's signing secret, or a bearer token: who knows it may ask for"
            " a look at changes, at /webhooks/contentful.",
            extra={"secret": True},
        ),
    ] = None

    # ---- where profiles live
    store: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where profiles are kept: a file, a postgresql:// URL, or 'memory' to keep"
            " nothing.",
        ),
    ] = "whichvariant.db"
    session_timeout_s: Annotated[
        Seconds, Meta(description="A session ends when nothing happens for so long.")
    ] = 1800.0
    history_events: Annotated[
        int, Meta(ge=1, le=100_000, description="How many events of a profile are kept.")
    ] = 1_000
    jurisdiction: Annotated[
        Literal["US", "EU"] | None, Meta(description="The `jurisdiction` of profiles.")
    ] = None

    # ---- who visitors are
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses and networks whose headers say who the visitor is:"
            " X-Forwarded-For, X-Force-IP, the CDN's location; 'unix' for Unix sockets."
        ),
    ] = ()
    geo_database: Annotated[
        str, Meta(description="A MaxMind database of cities or countries, to locate visitors.")
    ] = ""

    albacross_key: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A key of Albacross: requests with the feature 'ip-enrichment' look up the"
            " company behind the visitor's address there.",
            extra={"secret": True},
        ),
    ] = None
    albacross_url: Annotated[
        str, Meta(min_length=1, description="Where Albacross' Reveal API is.")
    ] = "https://api.albacross.com/reveal"
    enrichment_timeout_s: Annotated[
        Seconds, Meta(description="How long a request waits for the company behind an address.")
    ] = 0.3

    # ---- what clients may do
    max_connections: Annotated[
        Count, Meta(description="Connections to a process; more get 503 and are closed.")
    ] = 4_096
    max_header_bytes: Annotated[
        int, Meta(ge=1_024, le=1 << 20, description="The largest head of a request.")
    ] = 16 << 10
    header_timeout_s: Annotated[
        Seconds, Meta(description="How long a client may take to send the head of a request.")
    ] = 10.0
    idle_timeout_s: Annotated[
        Seconds,
        Meta(
            description="How long a connection may wait for its next request. More than a load"
            " balancer in front keeps its own."
        ),
    ] = 75.0
    send_timeout_s: Annotated[
        Seconds, Meta(description="How long a client may take to read what is sent to it.")
    ] = 30.0
    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=64 << 20, description="The largest body of a request.")
    ] = 2 << 20
    body_timeout_s: Annotated[
        Seconds, Meta(description="How long a client may take to send a body.")
    ] = 10.0
    max_requests: Annotated[
        Count, Meta(description="Requests at work at once in a process; more get 503.")
    ] = 256
    waiting_per_profile: Annotated[
        Count, Meta(description="Requests that may wait to change one profile; more get 429.")
    ] = 32
    waiting_s: Annotated[
        Seconds,
        Meta(
            description="How long a request may wait for its turn to change a profile; then it gets"
            " 429. The vendor's SDKs wait 3 s for an answer."
        ),
    ] = 2.5
    max_batches: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Asynchronous batches that wait or were rejected; more get 503.",
        ),
    ] = 100_000
    cors_origins: Annotated[
        tuple[str, ...], Meta(description="Origins whose pages may call; '*' is all.")
    ] = ("*",)

    # ---- what operators may do
    admin_token: Annotated[
        Annotated[str, Meta(min_length=16)] | None,
        Meta(
            description="Who sends it as a bearer token may do what operators may.",
            extra={"secret": True},
        ),
    ] = None
    inspector: Annotated[
        bool, Meta(description="Serve the page /inspector, which shows profiles and decisions.")
    ] = False

    metrics: Annotated[
        Literal["open", "token", "off"],
        Meta(description="Who may read /metrics: everybody, who has the admin token, or nobody."),
    ] = "open"
    otel: Annotated[
        bool,
        Meta(description="Trace requests with OpenTelemetry (the extra 'otel', OTEL_… variables)."),
    ] = False
    log_format: Annotated[
        Literal["text", "json"], Meta(description="Lines of the log, on standard error.")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="From which level on; 'debug' has a line for every request."),
    ] = "info"
    log_requests: Annotated[
        float, Meta(ge=0, le=1, description="The share of requests that get a line at 'info'.")
    ] = 0.0
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="How long requests are still taken after SIGTERM, while /readyz says 503.",
        ),
    ] = 0.0

    def profile_settings(self) -> ProfileSettings:
        """How profiles are kept."""
        return ProfileSettings(
            session_timeout_ms=max(1, round(self.session_timeout_s * 1000)),
            history_events=self.history_events,
            jurisdiction=self.jurisdiction,
        )

    def service_settings(self) -> ServiceSettings:
        """Limits of the service behind the server."""
        from whichvariant.service.settings import ServiceSettings

        return ServiceSettings(
            profiles=self.profile_settings(),
            waiting_per_profile=self.waiting_per_profile,
            patience_ms=round(self.waiting_s * 1_000),
        )
