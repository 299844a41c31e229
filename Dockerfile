# The server in a container, built from this source tree:
#
#     docker build -t whichvariant .
#     docker run -p 8000:8000 -v whichvariant:/data -v ./space.json:/config/space.json:ro whichvariant
#
# Settings are variables WHICHVARIANT_NAME (docs/server.md#settings). Profiles lie in /data, which has
# to be a volume on a local disk.

FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY ext ext
COPY src src
RUN python -m venv /opt/whichvariant \
    && /opt/whichvariant/bin/pip install --no-cache-dir '.[server,geo,otel]'

FROM python:3.13-slim-bookworm
RUN groupadd --system --gid 10001 whichvariant \
    && useradd --system --uid 10001 --gid whichvariant --no-create-home whichvariant \
    && install -d -o whichvariant -g whichvariant -m 0700 /data
COPY --from=build /opt/whichvariant /opt/whichvariant
ENV PATH=/opt/whichvariant/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WHICHVARIANT_HOST=0.0.0.0 \
    WHICHVARIANT_PORT=8000 \
    WHICHVARIANT_STORE=/data/profiles.db \
    WHICHVARIANT_CONFIG=/config/space.json \
    WHICHVARIANT_LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['WHICHVARIANT_PORT']}/readyz\", timeout=2)"]
# The process ends well on SIGTERM: it answers what it has accepted first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["whichvariant"]
CMD ["serve"]
