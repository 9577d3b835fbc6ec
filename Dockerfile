# docker build -t alpaca-broker .
# docker run -d --name alpaca-broker --env-file ./configs/.env --network host -v alpaca-broker:/data alpaca-broker
#
# /data holds the journal, the paper accounts and the halts. Without a volume of that name a new container begins a new journal.

# Both stages are Debian 12, so that the binary finds the C library it was linked with.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin alpaca-broker \
    && cp target/release/alpaca-broker /alpaca-broker \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /alpaca-broker /usr/local/bin/alpaca-broker
COPY --from=build --chown=65532:65532 /data /data
COPY configs/broker.yaml configs/broker.yaml
COPY configs/exchanges configs/exchanges
ENV BROKER_DATA_DIR=/data
VOLUME /data
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s CMD ["alpaca-broker", "status", "--json"]
ENTRYPOINT ["alpaca-broker"]
CMD ["run"]
