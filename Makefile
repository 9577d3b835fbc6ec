# `make` lists the targets. A target calls cargo or .ci/dev.sh, where everything that has to decide something lives.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run sandbox build release test test-fast check fmt lint doc deny bench bench-compare bench-orders stages stall soak cover docker install install-service redis clients clean

TARGET ?= $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local
# `make bench BENCH="--rounds 3 --only throughput"` for less of it.
BENCH ?=
# `make run PROFILE=release` for the optimised binary, which takes longer to build.
PROFILE ?= dev
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/alpaca-broker
export PATH := $(CURDIR)/target/redis/bin:$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

run: redis ## build and run the broker with a private Redis; simulated prices when no Alpaca key is set; Ctrl-C stops both
	@cargo build --locked --profile $(PROFILE) --bin alpaca-broker
	@.ci/dev.sh run $(BINARY)

sandbox: redis ## places and cancels one order far from the market on your paper account, with the keys of configs/.env; a line of JSON
	@cargo build --locked --profile $(PROFILE) --bin alpaca-broker
	@.ci/dev.sh sandbox $(BINARY)

build: ## debug build
	cargo build --locked

release: ## optimised build
	cargo build --locked --release

test: check ## everything CI runs; installs redis-server and the test clients if they are missing

test-fast: redis ## the tests alone, by cargo-nextest if it is installed
	@.ci/dev.sh test-fast

check: redis clients ## format, clippy, tests, documentation, dependency policy
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@.ci/dev.sh deny

fmt: ## format the code
	cargo fmt

lint: ## clippy, warnings refused
	cargo clippy --locked --all-targets -- -D warnings

doc: ## the documentation of the code, in target/doc
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: ## dependency policy: no async runtime, one TLS stack, known licences
	@.ci/dev.sh deny

bench: redis ## the whole service beside the limit of the machine, then the stop/start cycle; a line of JSON a figure
	cargo bench --locked --bench path -- $(BENCH)
	cargo bench --locked --bench cycle

stages: ## nanoseconds a message for each stage of the price path, ends with a table
	cargo bench --locked --bench stages
bench-compare: redis ## throughput and latency beside the same design in Python, which is installed into target/compare-venv
	@.ci/dev.sh compare
	cargo bench --locked --bench path -- --only throughput,latency --python $(CURDIR)/target/compare-venv/bin/python $(BENCH)

bench-orders: redis ## from a bot's order to its answer, through Redis and desk, beside a bare HTTP POST; a line of JSON
	cargo bench --locked --bench order_path

soak: redis ## the proof by histories in full: 100,000 order events and 10,000 commands through kills and cuts; two lines of JSON
	SOAK_EVENTS=$(or $(SOAK_EVENTS),100000) SOAK_BROKER_KILLS=$(or $(SOAK_BROKER_KILLS),200) SOAK_REDIS_KILLS=$(or $(SOAK_REDIS_KILLS),100) \
	SOAK_CUTS=$(or $(SOAK_CUTS),200) SOAK_COMMANDS=$(or $(SOAK_COMMANDS),10000) SOAK_CRASHES_PER_POINT=$(or $(SOAK_CRASHES_PER_POINT),50) \
	cargo test --locked --release --features crash-points --test soak -- --test-threads 1

stall: redis ## ten minutes of a stopped Redis at 20,000 messages a second, a line of JSON
	cargo bench --locked --bench stall -- 600

cover: redis clients ## line coverage of all tests by folder, at least 90 % outside cli; installs llvm-cov if it is missing
	@.ci/dev.sh cover

docker: ## the image alpaca-broker
	docker build -t alpaca-broker .

install: release ## the binary into $(PREFIX)/bin
	install -D -m 755 $(TARGET)/release/alpaca-broker $(DESTDIR)$(PREFIX)/bin/alpaca-broker

install-service: install ## the binary and the systemd unit; configuration in /etc/alpaca-broker
	@PREFIX=$(PREFIX) .ci/dev.sh install-service

redis: ## finds redis-server, or installs one without a service
	@.ci/dev.sh redis

clients: ## the SDKs that judge the built-in exchange, in target/clients-python and target/clients-node
	@.ci/dev.sh clients

clean: ## delete what was built; data/ stays
	cargo clean
