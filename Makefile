# Plumbline: build, certify, test. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOFLAGS_BUILD := -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)'
BIN := bin
LINT := go tool -modfile=.ci/tools/go.mod golangci-lint
PROFILE ?= ci
PACKAGES ?= ./...

.PHONY: help deps deps-test deps-guest peers beside capacity cluster firmware guest web dashboard build cross certify matrix prove manifests test check lint race fuzz bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps: ## install what building and certifying need and this machine lacks
	@.ci/deps build

deps-test: ## install what the tests need as well: Mosquitto, its clients, nginx, HAProxy, Node.js, PostgreSQL, InfluxDB, Redis, Chromium, openssl, uhubctl, QEMU for ARM, xmllint, a C compiler
	@.ci/deps test

peers: ## make the bridges of other people under scenarios/peers ready to be judged: bin/mochi, bin/centrifuge, packages of Node.js
	@mkdir -p $(BIN)
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ ./scenarios/peers/mochi
	CGO_ENABLED=0 go -C scenarios/peers/centrifuge build -trimpath -o $(CURDIR)/$(BIN)/
	npm ci --prefix scenarios/peers/node --ignore-scripts --no-audit --no-fund

firmware: ## build the firmware of the virtual bench anew with arm-none-eabi-gcc and compare it with the tree
	@.ci/firmware check

deps-guest: ## fetch what the third tier of the virtual bench needs: QEMU, and Debian's kernel into the cache folder
	@.ci/deps guest
	@.ci/guest-kernel

guest: deps-guest ## test the third tier of the virtual bench: a Linux guest, twins in it and 20 cycles of pulling cables, about a minute
	PLUMBLINE_GUEST_CYCLES=20 go test -p 1 -run '^TestGuest' -count=1 -v ./devices/virtual ./harness

web:
	@.ci/web

dashboard: web ## build the page that bridged embeds into bridge/dashboard/dist; a plain go build does without it and says so
	@cd bridge/dashboard/web && npm run --silent build

build: dashboard ## build bin/plumbline, bin/bridged with its dashboard and bin/guestinit, the agent of the virtual bench's guests (static, CGO_ENABLED=0)
	@mkdir -p $(BIN)
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o $(BIN)/ ./harness/cmd/plumbline ./bridge/cmd/bridged
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags '-s -w' -o $(BIN)/ ./devices/guest/cmd/guestinit

cross: dashboard ## build for linux amd64/arm64/armv7, darwin arm64 and windows amd64 into dist/
	@.ci/cross '$(LDFLAGS)'

certify: deps build ## certify the bridge with simulated and replayed devices; prints where the report is
	$(BIN)/plumbline certify --profile $(PROFILE)

matrix: deps peers build ## certify every shipped descriptor of one bridge and put the table of verdicts into README.md; some four minutes for each
	@out=reports/out/matrix-$$(date -u +%Y%m%dT%H%M%SZ); dirs="$$out/bridged"; \
	$(BIN)/plumbline certify --profile $(PROFILE) --run-dir $$out/bridged || [ $$? -le 3 ] || exit 1; \
	for sut in $(filter-out scenarios/peers/bridged-cluster%,$(wildcard scenarios/peers/*.yaml)); do dir=$$out/$$(basename $$sut .yaml); dirs="$$dirs $$dir"; \
	  $(BIN)/plumbline certify --profile $(PROFILE) --sut $$sut --run-dir $$dir || [ $$? -le 3 ] || exit 1; done; \
	$(BIN)/plumbline report --matrix $$dirs --into README.md

beside: deps peers build ## measure the bridge and its peers side by side and put the table into README.md; some 15 minutes, on a machine with nothing else to do
	$(BIN)/plumbline peers --sut scenarios/peers/beside/bridged-plain.yaml scenarios/peers/centrifuge.yaml scenarios/peers/mosquitto.yaml \
	  scenarios/peers/nats.yaml scenarios/peers/node.yaml --window 4s --into README.md

capacity: deps build ## raise the load along every axis until the bridge gives way, and put tables and plots into README.md; some 8 minutes, on a machine with nothing else to do
	@mkdir -p harness/capacity/plots
	$(BIN)/plumbline capacity --axis all --window 3s --into README.md --plot harness/capacity/plots

# Each run in a folder of its own; what one does not pass keeps none of the others from being made.
cluster: deps-test build ## ask several bridges what becomes of their viewers when any part of them goes away, five times each, and when 10 000 come back at once; some 25 minutes
	@out=reports/out/cluster-$$(date -u +%Y%m%dT%H%M%SZ); code=0; \
	$(BIN)/plumbline run --profile cluster --sut scenarios/peers/bridged-cluster.yaml --run-dir $$out/nginx || code=$$?; \
	$(BIN)/plumbline run --profile cluster --sut scenarios/peers/bridged-cluster-haproxy.yaml --label-filter req:SCA-07 --run-dir $$out/haproxy || code=$$?; \
	$(BIN)/plumbline run --profile crowd --processes 2 --sut scenarios/peers/bridged-cluster-crowd.yaml --run-dir $$out/crowd || code=$$?; \
	exit $$code

prove: deps-test ## seed every known defect into the bridge and show which the bench finds; a quarter of an hour. PROVE=--limits or "--clean 59" for the rest
	@mkdir -p reports/out
	go run ./scenarios/defects/prove --out reports/out/prove --record scenarios/defects/record.json $(PROVE); \
	code=$$?; go run ./scenarios/defects/prove --readme && exit $$code

manifests: ## hold the Helm chart and the Compose file against Helm's, Kubernetes' and Compose's own code, and write bridge/deploy/kubernetes anew
	cd .ci/deploy && go run . -write

export RERUN

test: deps-test check race ## run everything: linters, then all tests with the race detector in random order
	@echo "make test: all green"

# Tests that take minutes begin first, or one of them would run alone at the end.
LONG := ./scenarios ./harness/cmd/plumbline ./bridge ./scenarios/peers ./harness ./scenarios/defects

race: build ## all tests with the race detector, in random order; RERUN=1, as in CI: up to three packages that fail run once more
	@.ci/race $(if $(filter ./...,$(PACKAGES)),$(LONG)) $(PACKAGES)

check: lint ## formatting, vet, linters, module files, types on every platform
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt: run 'gofmt -w' on:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go mod tidy -diff
	go mod verify
	@.ci/sizes
	@.ci/cross --check

lint: web ## golangci-lint with vet's analyzers in it, pinned in .ci/tools/go.mod, and the TypeScript compiler
	go -C scenarios/peers/centrifuge vet ./...
	go -C .ci/tools vet ./crosstypes
	$(LINT) run ./...
	@cd bridge/dashboard/web && npm run --silent check

fuzz: ## every fuzz target for FUZZTIME (60s), one after the other; FUZZ="devices harness" takes those only
	@.ci/fuzz $(FUZZ)

bench: ## Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem -timeout 20m ./bridge/... ./harness/...

clean: ## remove what was built and the reports
	rm -rf $(BIN) dist reports/out coverage.out
	find bridge/dashboard/dist -mindepth 1 ! -name .gitignore -delete
