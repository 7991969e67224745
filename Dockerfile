# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
COPY . .
# `otlp` exports the bridge's own spans. It does nothing without the table [otlp].
ARG FEATURES="otlp"
# RUSTFLAGS makes the program 1.3 MB smaller. The program then needs the C library 2.36 or newer, which is in this image.
# Only the bridge: the simulator in this workspace is for development and never ships.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs" \
    cargo build --release --locked -p activity-bridge --features "$FEATURES" \
    && install -D --target-directory=/image/usr/local/bin target/release/activity-bridge

# The rest of the image: the C library and libgcc_s, from the same Debian as the binary's; the CA certificates, which TLS to AWS, to
# the broker and to Redis reads; the name of the user. There is no shell.
RUN ldd /image/usr/local/bin/activity-bridge | grep -o '/[^ ]*' \
    | while read -r library; do install -D "$library" "/image$library"; done \
    && install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && for package in libc6 libgcc-s1 ca-certificates; do \
    install -D --mode=644 "/usr/share/doc/$package/copyright" "/image/usr/share/doc/$package/copyright"; done \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && echo 'activity-bridge:x:65532:65532::/nonexistent:/nonexistent' > /image/etc/passwd \
    && echo 'activity-bridge:x:65532:' > /image/etc/group \
    && mkdir /empty

FROM scratch
COPY --from=build /image /
# The tasks in flight, unless they are kept elsewhere; nothing else is written. Give it a named volume: the one that Docker makes by
# itself is another for each container.
COPY --from=build --chown=65532:65532 /empty /var/lib/activity-bridge
VOLUME /var/lib/activity-bridge
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
# The endpoint for workers, and the admin endpoint. Both listen on loopback unless the configuration says otherwise.
EXPOSE 5672 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --start-interval=1s \
    CMD ["/usr/local/bin/activity-bridge", "health", "--config", "/etc/activity-bridge/config.toml"]
ENTRYPOINT ["/usr/local/bin/activity-bridge"]
CMD ["run", "--config", "/etc/activity-bridge/config.toml"]
