# syntax=docker/dockerfile:1

# The program, bundled. Pinned by version; pin by digest (node:24.21.0-bookworm-slim@sha256:…) where your registry is reached.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build
# The packages first: they change more rarely than the source.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY LICENSE ./
COPY scripts/bundle scripts/licences.ts scripts/
COPY src src
RUN scripts/bundle /image
# What Node itself is linked against, at the same paths, and certificates for rediss:. No shell, no npm, no package manager.
RUN set -eu; \
    mkdir -p /image/bin /image/etc/ssl/certs; \
    cp -L "$(command -v node)" /image/bin/node; \
    ldd /image/bin/node | grep -o '/[^ ]*' | sort -u | while read -r lib; do mkdir -p "/image$(dirname "$lib")"; cp -L "$lib" "/image$lib"; done; \
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; fi; \
    printf 'xtrimd:x:65532:65532::/:/\n' >/image/etc/passwd; \
    printf 'xtrimd:x:65532:\n' >/image/etc/group

FROM scratch
ARG VERSION=0.1.0
# Whose build of what: --build-arg SOURCE=https://… --build-arg REVISION="$(git rev-parse HEAD)"
ARG SOURCE=https://github.com/your-fork/xtrimd
ARG REVISION=unknown
LABEL org.opencontainers.image.title="xtrimd" \
      org.opencontainers.image.description="Keeps Redis Streams inside a retention policy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image /
# A number, so that Kubernetes can see that it is not root. Nothing is written: the root file system may be read-only.
USER 65532:65532
ENV NODE_ENV=production
EXPOSE 9464
# A sidecar should be small: the young generation is, though with one of 1 MB half of a sweep's processor time goes into clearing it, and
# other clients of Redis wait for processors that do; the old one grows slowly where it knows an end; and what a sweep leaves is collected
# behind it (--expose-gc lets the program ask for that), but for the code of the next one.
ENTRYPOINT ["/bin/node", "--max-semi-space-size=3", "--max-old-space-size=256", "--no-flush-bytecode", "--expose-gc", "/app/main.js"]
CMD ["run"]
# Kubernetes has probes of its own; this is for everybody else. It sees the variable of --http-bind, and not the flag; to
# connect to 0.0.0.0 or [::] is to connect to this machine.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/bin/node", "-e", "fetch('http://' + (process.env.XTRIMD_HTTP_BIND || '127.0.0.1:9464') + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
