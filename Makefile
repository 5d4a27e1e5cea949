# An index of what can be done here; the work is done by cargo and the scripts in tests/.

TESTBED := tests/testbed
CLUSTER := $(TESTBED)/cluster.sh
SCRIPTS = $(shell git ls-files --cached --others --exclude-standard '*.sh' .ci/run)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check unit properties sim matrix engine engine-docker e2e endurance kubectl kubelet-api figures mixed mixed-long conformance conformance-short sdk sdk-java spark operator tpcds test test-long fuzz bench bench-mock deny up down exec load demo demo-tpcds what-if

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- checks and suites; docs/testing.md says what each is for and may take ---

setup: ## install the system packages that the suites and the testbed need (Debian, root)
	@$(TESTBED)/setup.sh
	@$(TESTBED)/setup.sh worker

check: ## formatting, lints, what crates may depend on, shell scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p virtual-node --test e2e --test kubelet-api --locked -- -D warnings
	tests/purity.sh
	@$(TESTBED)/setup.sh lint
	shellcheck --exclude=SC2317 --external-sources --source-path=. $(SCRIPTS)

# Seeded, so that a run says something about the change; `make properties` looks for news.
unit: export PROPTEST_RNG_SEED := 1
unit: ## tests of each crate by itself
	cargo test --locked --no-fail-fast -p provider -p eci -p mock-eci
	cargo test --locked --no-fail-fast -p virtual-node --lib --bins

properties: ## the property tests with ten times the cases and a seed of their own
	PROPTEST_CASES=20000 cargo test --locked -p virtual-node --lib pods::model
	PROPTEST_CASES=20000 cargo test --locked -p provider -p eci
	PROPTEST_CASES=2000 cargo test --locked -p mock-eci

sim: ## the agent against mock-eci and a small API server, in one process, by a clock that jumps
	cargo test --locked --no-fail-fast -p virtual-node --test sim

matrix: ## the long form of it: every scenario under every fault with SEEDS=20 from SEED=1 on, or one CELL=scenario/fault
	SEEDS="$${SEEDS:-20}" cargo test --locked --no-fail-fast -p virtual-node --test sim -- --nocapture matrix::
	test -n "$$CELL" || cargo test --locked --no-fail-fast -p virtual-node --test sim -- --nocapture --ignored

# What both forms of the end-to-end suite run; mock-eci keeps enough calls for tests to count them.
E2E = cargo build --locked -p virtual-node -p mock-eci && \
	cargo test --locked -p virtual-node --test e2e --no-run && \
	VN_RUNTIME=simulated VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug" MOCK_ECI_JOURNAL=20000 \
		$(TESTBED)/with-cluster.sh $@ control-plane,dns,store,cloud,node,metrics \
		cargo test --locked --no-fail-fast --offline -p virtual-node --test e2e --

e2e: ## the agent in a real cluster (real API server, scheduler, controllers), with simulated groups; SEED=n repeats one
	$(E2E) --test-threads=4 --skip containers::

endurance: ## the long forms of its tests: hundreds of kills, a thousand pods, ten minutes without rights; SEED=n repeats one
	$(E2E) --ignored --nocapture --test-threads=1 --skip containers:: --skip mixed:: --skip real_figures::

kubectl: ## kubectl's streams (exec, cp, attach, port-forward) with real containers in a real cluster
	cargo build --locked -p virtual-node -p mock-eci
	cargo test --locked -p virtual-node --test e2e --no-run
	$(TESTBED)/image/coredns/build.sh >/dev/null
	VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug" $(TESTBED)/with-cluster.sh $@ control-plane,dns,engine,cloud,node \
		cargo test --locked --no-fail-fast --offline -p virtual-node --test e2e -- --test-threads=3 containers::

kubelet-api: ## each route of the kubelet API asked by each kind of client, beside a real kubelet's
	cargo build --locked -p virtual-node -p mock-eci
	cargo test --locked -p virtual-node --test kubelet-api --no-run
	VN_RUNTIME=simulated VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug" \
		$(TESTBED)/with-cluster.sh $@ control-plane,worker,cloud,node \
		cargo test --locked --no-fail-fast --offline -p virtual-node --test kubelet-api

figures: ## autoscaling under real load, and figures beside a real kubelet's: real containers and a real worker
	cargo build --locked -p virtual-node -p mock-eci
	cargo test --locked -p virtual-node --test e2e --no-run
	ECS=1 VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug" \
		$(TESTBED)/with-cluster.sh $@ control-plane,dns,worker,engine,cloud,node,metrics \
		cargo test --locked --offline -p virtual-node --test e2e -- --ignored --nocapture --test-threads=1 real_figures::

# What both forms of it run; the worker holds three pods of a Spark job, whatever the machine has.
MIXED = cargo build --locked -p virtual-node -p mock-eci && \
	cargo test --locked -p virtual-node --test e2e --no-run && \
	$(TESTBED)/image/spark/build.sh >/dev/null && \
	VN_WORKER_MEMORY=3221225472 VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug" \
		$(TESTBED)/with-cluster.sh mixed control-plane,dns,store,worker,engine,cloud,node \
		cargo test --locked --no-fail-fast --offline -p virtual-node --test e2e -- --ignored --nocapture --test-threads=1

mixed: ## Spark, Deployments and Jobs on a real worker and the virtual node together, and a drain of the latter, with real containers on both
	$(MIXED) mixed:: --skip mixed::long::

mixed-long: ## the long form of it: a Spark job through a drain of the virtual node, and the death of the agent in it
	$(MIXED) mixed::long::

engine: ## mock-eci's real containers, on a container engine of their own
	cargo test --locked -p mock-eci --features docker-tests --test docker --no-run
	$(TESTBED)/with-cluster.sh engine engine env MOCK_ECI_TEST_NETWORK=eci \
		cargo test --locked --offline -p mock-eci --features docker-tests --test docker -- --test-threads=6

engine-docker: ## the same on Docker instead of podman
	cargo test --locked -p mock-eci --features docker-tests --test docker --no-run
	VN_ENGINE=docker $(TESTBED)/with-cluster.sh engine-docker engine env MOCK_ECI_TEST_NETWORK=eci \
		cargo test --locked --offline -p mock-eci --features docker-tests --test docker -- --test-threads=6

conformance: ## Kubernetes' node conformance tests against the virtual node and a real kubelet; renews the table in docs/conformance.md
	tests/conformance/run.sh kubelet
	tests/conformance/run.sh ours
	tests/conformance/report.py --doc docs/conformance.md

conformance-short: export OUT := $(CURDIR)/target/conformance-short
conformance-short: ## a dozen of them that are quick, against the virtual node
	tests/conformance/run.sh ours --short
	tests/conformance/report.py --out "$$OUT" --all-pass

sdk: ## mock-eci against the official SDKs (Python, Go) and their examples
	tests/sdk/run.sh

sdk-java: ## its example in Java
	tests/sdk/run.sh java

# With the build that the suites before have made anyway: what users get, the release build, takes minutes, and the demo has it.
SPARK = cargo build --locked -p virtual-node -p mock-eci && VN_BIN_DIR="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug"

spark: ## Spark WordCount as in the demo, while the agent is killed and moved, counts checked independently; executors that come and go
	$(SPARK) $(TESTBED)/demo/suite.sh
	$(SPARK) $(TESTBED)/elastic/run.sh

operator: ## a SparkApplication, submitted as Kubeflow's operator does it: success, failure and rerun, deletion at work
	$(SPARK) $(TESTBED)/operator/run.sh

what-if: ## what other executors would cost, predicted and then run for real; on a machine that does nothing else
	$(SPARK) $(TESTBED)/whatif/run.sh

tpcds: ## TPC-DS' heavy queries on executors of the virtual node, held against DuckDB; then the history server
	$(SPARK) $(TESTBED)/tpcds/suite.sh

test: setup ## all suites: what CI runs
	@tests/suites.sh check unit sim sdk engine kubectl e2e kubelet-api conformance-short spark operator mixed tpcds

test-long: setup ## all suites, and the long ones
	@tests/suites.sh check unit sim sdk engine kubectl e2e kubelet-api conformance-short spark operator mixed tpcds matrix conformance endurance mixed-long figures engine-docker properties sdk-java fuzz demo demo-tpcds bench

fuzz: ## mock-eci and the agent's streams against made-up input: each target (or TARGETS='params …') for MINUTES=10; KEEP=1 renews the corpus
	@MINUTES="$${MINUTES:-10}" tests/fuzz.sh $(TARGETS)

bench: ## the targets of the design as a table, and as JSON in target/bench/
	tests/bench/run.sh

bench-mock: ## the part of it that is mock-eci alone: COUNT=20000 simulated groups from create to delete
	tests/bench/mock.sh

deny: ## licences, advisories and banned crates of the dependencies
	@command -v cargo-deny >/dev/null || { echo 'error: cargo-deny is not installed: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --workspace check

# --- a cluster to play with ---

up: ## start a cluster whose node is the virtual node, and keep it (ECS=1: beside a real worker)
	@$(CLUSTER) up
	@$(CLUSTER) hints

down: ## end it
	@$(CLUSTER) down

exec: ## run CMD='…' inside its network, with kubectl
	@$(CLUSTER) exec bash -c "$$CMD"

load: ## load ARCHIVE=image.tar (docker save) into its container engine
	@$(CLUSTER) load "$(ARCHIVE)"

demo: ## Spark WordCount of INPUT=file on the virtual node, from nothing
	@$(TESTBED)/demo/run.sh $${INPUT:+"$$INPUT"}

demo-tpcds: ## all of TPC-DS on the virtual node, held against DuckDB: SF=1 QUERIES=q6,q19 OUT=folder
	@$(TESTBED)/tpcds/run.sh

export CELL ECS MINUTES KEEP SEED SEEDS COUNT FEW REPEATS
# As they were typed: make would expand a dollar sign in them.
override CMD := $(value CMD)
override INPUT := $(value INPUT)
export CMD INPUT
