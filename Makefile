# `make` lists what can be made.

BROWSER_PACKAGES = tests/browser/node_modules/.package-lock.json
CLIENT_PACKAGES = tests/clients/node_modules/.package-lock.json
VENV = var/venv/requirements.txt
ACME_VENV = var/venv-acme/requirements.txt
CLIENT_CRATE = var/client-rust/debug/anteroom-client-rust

.PHONY: help demo test test-quick check build bench bench-compare bench-growth bench-hosts bench-person bench-pingora siege outside instructions storm fuzz book fmt build-deps test-deps

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build and start the demo: two simulated BBB servers, six tenants, links to click
	@scripts/demo

test: build-deps test-deps ## Everything that proves the project, browser and client libraries too
	cargo test --workspace --no-fail-fast

# Unit tests that need PostgreSQL, and tests of the gateway that take long.
SHARED_STORE = on_postgres store::tests::several store::tests::pooler
LONG_TESTS = hostile:: failure::

# Most of the gateway's tests wait most of the time: eight at once are not too many for two cores.
test-quick: build-deps ## In about 80 seconds: unit tests and most of the gateway's; no browser, no PostgreSQL, no Node.js, no Python
	cargo test --lib --test checks --test gateway --no-run
	cargo test --lib -- $(addprefix --skip ,$(SHARED_STORE))
	cargo test --test checks
	cargo test --test gateway -- --test-threads=8 $(addprefix --skip ,$(LONG_TESTS))

check: build-deps ## Formatting, lints and documentation, with warnings denied; dependencies and the book where cargo-deny and mdBook are installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@! command -v cargo-deny >/dev/null || cargo deny --offline check bans licenses sources
	@! command -v mdbook >/dev/null || mdbook build

build: build-deps ## The programs as they are shipped, in target/dist
	cargo build --workspace --profile dist

bench: build-deps ## A first load run: requests per second, latency, CPU time, direct and through the gateway
	cargo build --release --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	cargo run --release --package anteroom-bench --bin anteroom-bench -- quick

bench-compare: build-deps ## What it costs to carry files, handshakes, sockets and calls, beside nginx, HAProxy and Caddy (and BEFORE=PATH, another build; PINGORA=PATH, what bench-pingora has built)
	@mkdir -p var
	@for program in /usr/sbin/nginx /usr/sbin/haproxy /usr/bin/caddy; do test -x $$program || echo "there is no $$program to compare with: apt-get install nginx-light haproxy caddy"; done
	cargo build --profile dist --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	target/release/anteroom-bench compare --gateway target/dist/anteroom $(addprefix --before ,$(BEFORE)) $(addprefix --pingora ,$(PINGORA)) --json var/compare.jsonl --html var/compare.html
	@echo "the same with plots: var/compare.html"

bench-growth: build-deps ## How cost grows with callers, open sockets, tenants and meetings, as curves
	@mkdir -p var
	cargo build --profile dist --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	target/release/anteroom-bench growth --gateway target/dist/anteroom --json var/growth.jsonl --html var/growth.html
	@echo "the same with plots: var/growth.html"

# A crate of its own: it needs cmake, and brings ring, which the gateway must not have.
bench-pingora: ## A minimal pingora-proxy to compare with: then make bench-compare PINGORA=var/pingora/release/anteroom-bench-pingora
	@command -v cmake >/dev/null || { echo "pingora is built with cmake: apt-get install cmake"; exit 1; }
	cargo build --release --locked --manifest-path bench/pingora/Cargo.toml --target-dir var/pingora

bench-person: build-deps ## What one person costs from the click to messages, through the gateway, nginx and HAProxy
	@mkdir -p var
	cargo build --profile dist --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	target/release/anteroom-bench person --gateway target/dist/anteroom --json var/person.jsonl --html var/person.html
	@echo "the same as a page: var/person.html"

SIEGE_SECONDS = 600

bench-hosts: build-deps ## Start, memory, reload, handshakes and renewals with 100,000 hosts that have certificates of their own
	@mkdir -p var
	cargo build --profile dist --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	target/release/anteroom-bench hosts --gateway target/dist/anteroom --dir var/hosts --json var/hosts.jsonl

siege: build-deps ## All floods at once for SIEGE_SECONDS (600), while people are in meetings and integrations call
	@mkdir -p var
	cargo build --profile dist --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bins
	ulimit -n $$(ulimit -H -n); target/release/anteroom-bench siege --seconds $(SIEGE_SECONDS) --gateway target/dist/anteroom \
		--json var/siege.jsonl --html var/siege.html
	@echo "the same with plots: var/siege.html"

outside: build-deps ## testssl.sh and slowhttptest of Debian against a gateway on loopback, as tables
	cargo build --release --package anteroom --bin anteroom
	cargo build --release --package anteroom-bench --bin bbb-sim
	scripts/outside-tools target/release/anteroom target/release/bbb-sim

instructions: build-deps ## How many instructions the hot functions take, beside what benches/instructions.txt has kept
	@command -v valgrind >/dev/null || { echo "valgrind counts them: apt-get install valgrind"; exit 1; }
	cargo bench --bench instructions

storm: build-deps ## 500 people come to one meeting within 10 s and stay for two minutes: nobody is dropped
	ulimit -n 16384; ANTEROOM_STORM=500/10/120 cargo test --test load storm:: -- --nocapture

FUZZ_TARGETS = query checksum xml modules ids answer_head answer_body frames first_frame session cookies route form proxy_header webhook
FUZZ_SECONDS = 60

fuzz: build-deps ## Random input for what parses bytes from outside, FUZZ_SECONDS (60) for each target
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

book: ## The documents as a book, in var/book
	@command -v mdbook >/dev/null || { echo "mdBook builds the book: cargo install --locked mdbook"; exit 1; }
	mdbook build

fmt: ## Format the sources
	cargo fmt --all

build-deps:
	@scripts/deps build

test-deps: system-test-deps $(BROWSER_PACKAGES) $(CLIENT_PACKAGES) $(VENV) $(ACME_VENV) $(CLIENT_CRATE) ## What the tests need: browser, node, python and their packages

.PHONY: system-test-deps
system-test-deps:
	@scripts/deps test

%/node_modules/.package-lock.json: %/package-lock.json | system-test-deps
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# A crate of its own: it brings OpenSSL, which the gateway must not have.
$(CLIENT_CRATE): tests/clients/rust/Cargo.toml tests/clients/rust/Cargo.lock tests/clients/rust/src/main.rs | system-test-deps
	cargo build --locked --manifest-path $< --target-dir var/client-rust
	@touch $@

$(VENV): tests/clients/requirements.txt | system-test-deps
	python3 -m venv var/venv
	var/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@cp $< $@

$(ACME_VENV): tests/acme/requirements.txt | system-test-deps
	python3 -m venv var/venv-acme
	var/venv-acme/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@cp $< $@
