# syntax=docker/dockerfile:1

# Bundles the program. The base image is pinned by version; if you can reach a registry, pin it by digest too
# (node:24.21.0-bookworm-slim@sha256:…).
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build
# Packages first, so that this layer is cached: they change less often than the source.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY LICENSE ./
COPY scripts/bundle scripts/licences.ts scripts/
COPY src src
RUN scripts/bundle /image
# Node, the libraries it is linked against at the same paths, and CA certificates for rediss: URLs. The image has no shell,
# npm or package manager.
RUN set -eu; \
    mkdir -p /image/bin /image/etc/ssl/certs; \
    cp -L "$(command -v node)" /image/bin/node; \
    ldd /image/bin/node | grep -o '/[^ ]*' | sort -u | while read -r lib; do mkdir -p "/image$(dirname "$lib")"; cp -L "$lib" "/image$lib"; done; \
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; fi; \
    printf 'xtrimd:x:65532:65532::/:/\n' >/image/etc/passwd; \
    printf 'xtrimd:x:65532:\n' >/image/etc/group

FROM scratch
ARG VERSION=0.2.0
# Record where the image comes from: --build-arg SOURCE=https://… --build-arg REVISION="$(git rev-parse HEAD)"
ARG SOURCE=https://github.com/your-fork/xtrimd
ARG REVISION=unknown
LABEL org.opencontainers.image.title="xtrimd" \
      org.opencontainers.image.description="Keeps Redis Streams inside a retention policy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image /
# Numeric, so that Kubernetes can verify that it is not root. The root file system may be read-only: xtrimd writes no files.
USER 65532:65532
# One arena of glibc's allocator: with one for each thread, the process takes 15 to 20 MB more.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
EXPOSE 9464
# Keep a sidecar's memory small:
# - A small young generation. Not 1 MB: then collecting it takes half of a sweep's CPU time, and other clients of Redis wait.
# - A limit for the old generation, which makes it grow slowly.
# - Garbage is collected after each sweep, which --expose-gc allows, but compiled code is kept for the next one.
ENTRYPOINT ["/bin/node", "--max-semi-space-size=3", "--max-old-space-size=256", "--no-flush-bytecode", "--expose-gc", "/app/main.js"]
CMD ["run"]
# For everyone but Kubernetes, which has its own probes. It reads the variable XTRIMD_HTTP_BIND but cannot see the flag.
# Connecting to 0.0.0.0 or [::] reaches this machine.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/bin/node", "-e", "fetch('http://' + (process.env.XTRIMD_HTTP_BIND || '127.0.0.1:9464') + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
