# syntax=docker/dockerfile:1
# hookrun in a small image: one binary, no shell needed, an unprivileged user, /data for the database.
# The root file system may be read-only; only /data is written.

FROM rust:1-bookworm AS build
WORKDIR /src
# The dependencies first, so that a change of our own code does not build them again.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src && echo '//! Empty.' > src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked && rm -r src
COPY src src
COPY migrations migrations
COPY config config
RUN touch src/lib.rs src/main.rs && cargo build --release --locked \
 && mkdir -p /out/data && cp target/release/hookrun /out/

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/hookrun /usr/local/bin/hookrun
COPY --from=build --chown=10001:10001 /out/data /data
COPY config/hookrun.toml config/rules.toml /etc/hookrun/
COPY config/prompts /etc/hookrun/prompts
# The places that the shipped settings name, config/rules.toml and data/hookrun.db, as seen from /.
RUN ln -s etc/hookrun /config
# Inside a container the port is published on purpose; the admin listener stays on loopback until told otherwise. A variable
# wins over the file that a team mounts, so nothing else is one.
ENV HOOKRUN_WEBHOOKS__LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["hookrun", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["hookrun"]
CMD ["serve", "--config", "/etc/hookrun/hookrun.toml"]
