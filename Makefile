# `make demo` needs Rust, gcc and python3. The tests also need apt-get, for what is not there yet.
PYTHON ?= python3
NODE = $(PYTHON) scripts/rabbitmq.py run
# The bridge as the broker needs no RabbitMQ.
BENCH_NODE = $(if $(filter endpoint,$(BROKER)),,$(NODE) --plain --)

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-it test-moto test-ministack test-guides test-workers test-asyncapi test-deploy test-config suites package docs manifests lint bench bench-in-flight soak bench-built clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## see tasks flow: simulator, bridge, Python workers (TASKS=1000; with RabbitMQ: BROKER=rabbitmq)
	@$(PYTHON) scripts/demo.py

test: ## what CI runs, but for package, docs and the image: lints, unit and integration tests, the tests in Python
	@$(PYTHON) scripts/test.py

test-unit: ## unit, property and documentation tests
	@$(PYTHON) scripts/test.py unit

test-it: ## integration tests with both brokers, a private Redis and the simulator
	@$(PYTHON) scripts/test.py it

test-moto: ## a boto3 decider on moto, the bridge with both brokers, and pika workers
	@$(PYTHON) scripts/test.py moto

test-ministack: ## state machines on ministack, the bridge, RabbitMQ and pika workers
	@$(PYTHON) scripts/test.py ministack

test-guides: ## the commands and workers of the guides, with the AWS CLI on moto and ministack
	@$(PYTHON) scripts/test.py guides

test-workers: ## the example workers of ten clients against the bridge
	@$(PYTHON) scripts/test.py workers

test-asyncapi: ## docs/asyncapi.yaml by the official parser, and real messages against it
	@$(PYTHON) scripts/test.py asyncapi

test-deploy: ## the manifests are those of the chart, systemd takes the unit, and promtool the metrics, alerts and dashboard
	@$(PYTHON) scripts/test.py deploy

test-config: ## config/schema.json takes the configurations of the project, and refuses mistakes
	@$(PYTHON) scripts/test.py config

suites: ## twenty kills with RabbitMQ; the test suites of AMQP clients against the bridge as the broker (SUITES="py-amqp kombu")
	@$(PYTHON) scripts/test.py $(if $(SUITES),suites,kills suites)

package: ## the chart, the image's root, the Debian package, the crate and the status page, for real; needs root (PARTS="chart lints image deb crate pages")
	@$(PYTHON) scripts/test.py package

docs: ## the documents as a site in .dev/site/book, with a search; each link and anchor of it is followed
	@$(PYTHON) scripts/site.py

manifests: ## render deploy/kubernetes from the chart
	@$(PYTHON) scripts/chart.py write

lint: ## format and lints
	@$(PYTHON) scripts/test.py lint

bench: bench-built ## each store beside the least that could do the work, or both brokers (BROKER=both TASKS=20000 ROUNDS=5); see ARCHITECTURE.md
	@$(BENCH_NODE) cargo run --release --quiet --package activity-bridge-bench --bin bench

bench-in-flight: bench-built ## what tasks in flight cost in memory and on disk, and how they come back (TASKS=100000)
	@$(NODE) --plain -- cargo run --release --quiet --package activity-bridge-bench --bin bench -- in-flight

soak: bench-built ## ten minutes at the highest rate: is memory flat, does each task end once (SOAK_SECS=600 SOAK_STORE=file)
	@cargo run --release --quiet --package activity-bridge-bench --bin soak

bench-built:
	@cargo build --release
	@cargo build --release --package activity-bridge-bench

clean: ## remove everything built or installed in this folder
	cargo clean
	rm -rf .dev
