# syntax=docker/dockerfile:1

# Debian 12 in both stages: the binary needs the C library of the final one.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# `otlp` exports the bridge's own spans.
ARG FEATURES=""
# Only the bridge: the simulator in this workspace is for development and never ships.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p activity-bridge --features "$FEATURES" \
    && cp target/release/activity-bridge /activity-bridge \
    && mkdir /empty

# The C library, libgcc_s and the CA certificates, which TLS to AWS and to the broker reads; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /activity-bridge /usr/local/bin/activity-bridge
# The tasks in flight, unless they are kept elsewhere; nothing else is written. Give it a named volume: the one that Docker makes by
# itself is another for each container.
COPY --from=build --chown=65532:65532 /empty /var/lib/activity-bridge
VOLUME /var/lib/activity-bridge
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/activity-bridge"]
CMD ["run", "--config", "/etc/activity-bridge/config.toml"]
