# `make help` lists what there is. Everything sets up what it needs by itself: an
# engine, the Debian image below ours, Go modules, Debian packages.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What the programs say of themselves. A release gives it; it is never taken from the
# commit, so that a commit which changes no code changes no binary and no image.
VERSION ?= 0.1.0
ARCH := $(shell go env GOARCH)

# The same source gives the same bytes, on any machine and in any folder:
# no C compiler, no paths, no state of the checkout, no flags of the user's own, and
# this module's requirements alone, not those of the modules that are worked on beside it.
GO_BUILD := GOFLAGS= GOWORK=off CGO_ENABLED=0 GOOS=linux GOAMD64=v1 GOARM64=v8.0 \
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'

GOLANGCI_LINT := v2.15.0
export PATH := $(CURDIR)/.cache/bin:$(PATH)

# The modules of this repository, and all of their packages.
MODULES := . conformance contract
PACKAGES := ./... ./conformance/... ./contract/...

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ The two to begin with
.PHONY: demo
demo: programs core ## a sandbox is killed in the middle of its work; the next one finds it
	@scripts/demo.sh

.PHONY: test
test: programs core suite test-packages ## unit, script and container tests, and the contract on core
	@$(MAKE) --no-print-directory bin/linux-arm64 PROGRAMS=./cmd/sandbox-init
	@scripts/guard.sh bin/sandbox conformance matrx-sandbox:latest
	@scripts/test.sh all

##@ Programs
.PHONY: build
build: programs cross suite ## bin/sandbox-init and bin/sandbox, both for amd64 and arm64, and the conformance suite

.PHONY: programs
programs: ## bin/sandbox-init and bin/sandbox for this machine alone
	@$(MAKE) --no-print-directory bin/linux-$(ARCH)
	@install -m 755 bin/linux-$(ARCH)/sandbox-init bin/linux-$(ARCH)/sandbox bin/

.PHONY: cross
cross: bin/linux-amd64 bin/linux-arm64 ## both programs in bin/linux-amd64 and bin/linux-arm64

PROGRAMS := ./cmd/sandbox-init ./cmd/sandbox

# go build knows what is up to date.
.PHONY: bin/linux-amd64 bin/linux-arm64
bin/linux-amd64 bin/linux-arm64:
	@mkdir -p $@
	GOARCH=$(@:bin/linux-%=%) $(GO_BUILD) -o $@/ $(PROGRAMS)

.PHONY: generate
generate: ## rewrites the files that are generated from others
	go generate $(PACKAGES)

##@ Images
# An image is a folder, and a target: `make ml` builds it and what it is made of. What has
# not changed is not built again.
IMAGES := $(patsubst images/%/image.yaml,%,$(wildcard images/*/image.yaml))

.PHONY: all
all: programs ## every image
	@bin/sandbox images build --all --rebase --tag $(VERSION)

.PHONY: images
images: core ## base and core; any other one by its name: make ml

.PHONY: $(IMAGES)
base: ## the image matrx-sandbox-base: the lifecycle alone
core: ## the image matrx-sandbox: base, and what an agent may count on
$(IMAGES): programs
	@bin/sandbox images build $@ --rebase --tag $(VERSION)

.PHONY: push
push: all ## publishes every image: make push REGISTRY=registry.example.com/team
	@bin/sandbox images push --all $(if $(REGISTRY),--registry $(REGISTRY))

.PHONY: sizes
sizes: all ## measures every image, holds the variants to their limits, and writes docs/sizes.md
	@bin/sandbox images size --markdown >.cache/sizes.md && mv .cache/sizes.md docs/sizes.md
	go test -count=1 -tags variants -run TestVariantSizes ./internal/e2e/images

.PHONY: engine
engine: ## makes sure that a Docker engine answers
	@scripts/ensure-engine.sh

.PHONY: refresh
refresh: programs ## takes up Debian's updates: rewrites images/debian.lock
	@bin/sandbox images refresh

##@ Tests
.PHONY: test-unit
test-unit: test-packages ## what needs no container, under the race detector
	@scripts/test.sh unit

.PHONY: test-e2e
test-e2e: programs core test-packages ## what runs in containers; RUN=PATTERN narrows it
	@scripts/test.sh e2e

VARIANT ?= core
.PHONY: conformance
conformance: programs suite $(filter all $(IMAGES),$(VARIANT)) ## proves that an image keeps the contract: VARIANT=core (the default), another name, all
	@REPORT=$(REPORT) scripts/conformance.sh $(VARIANT)

.PHONY: suite
suite: # bin/sandbox-conformance and its probe, which sandbox conformance starts
	@mkdir -p bin
	GOFLAGS= CGO_ENABLED=0 go build -buildvcs=auto -trimpath -ldflags '-s -w' -o bin/ ./conformance/cmd/...

.PHONY: long
long: programs core test-packages ## what takes longest: 200 kills at any instant, commands and kills at random for 10 minutes, 100,000 operations on the cold path
	CGO_ENABLED=1 go test -race -count=1 -tags long -timeout 60m -skip TestMemoryIsBounded ./internal/storage/hot
	go test -count=1 -tags long -timeout 60m -run TestMemoryIsBounded ./internal/storage/hot # the race detector has memory of its own
	go test -count=1 -tags long -timeout 60m -run Model ./internal/storage/cold
	go test -count=1 -tags long -timeout 60m -run "AgainAndAgain|KilledAtAnyInstant|ModelOfCommandsAndKills|TestSelectChainWithTheSuite" ./internal/e2e/storage ./internal/e2e/run ./internal/e2e/images
	scripts/ensure-packages.sh scripts/services.apt
	go test -count=1 -tags long -timeout 10m -run Brought ./conformance/internal/e2e

STORES_OF_CI := gofakes3 ceph swift
STORES ?= versitygw minio seaweedfs $(STORES_OF_CI)
.PHONY: stores
stores: ## the suite of docs/stores.md against S3 servers, which it builds: STORES="minio ceph" (ceph and swift as root), or other
	STORES="$(STORES)" go test -v -count=1 -tags stores -timeout 120m -run TestStores ./internal/e2e/stores
	go generate ./internal/e2e/stores
	@[[ "$(STORES)" != *"$(STORES_OF_CI)"* ]] || scripts/stores/inputs.sh >internal/e2e/stores/inputs

.PHONY: stores-changed
stores-changed: ## the same against three servers, where storage is not the one that they were last tried with: what CI runs
	@[ "$$(scripts/stores/inputs.sh)" = "$$(cat internal/e2e/stores/inputs)" ] || $(MAKE) --no-print-directory stores STORES="$(STORES_OF_CI)"

.PHONY: mutants
mutants: programs core ## breaks every requirement once, and proves that the suite finds just that
	go test -count=1 -parallel 3 -timeout 30m ./conformance/mutation

.PHONY: outsider
outsider: programs core ## builds and judges examples/variant-repo as another repository would
	go test -count=1 -timeout 30m ./conformance/outsider

.PHONY: test-packages
test-packages: ## installs the Debian packages that the tests use
	@scripts/ensure-packages.sh scripts/test.apt

.PHONY: lint
lint: .cache/bin/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint, functions that nothing reaches, shellcheck, gofmt
	@. scripts/apt.sh; need shellcheck shellcheck
	for module in $(MODULES); do (cd $$module && golangci-lint-$(GOLANGCI_LINT) run --build-tags long,variants,stores ./...); done
	scripts/deadcode.sh
	shellcheck --external-sources --source-path . $$(git ls-files 'scripts/*.sh' .ci/run 'images/*/build/*' 'images/*/files/*.sh') images/core/files/chromium

.PHONY: tidy
tidy: ## checks that go.mod and go.sum say what each module requires, and that each builds by itself
	@for module in $(MODULES); do (cd $$module && export GOWORK=off GOFLAGS= && go mod tidy -diff && go build ./... && go vet ./...); done

.PHONY: generated
generated: ## checks that the generated files are what their generators write
	@before=$$(git diff | sha256sum; git status --porcelain); \
	$(MAKE) --no-print-directory generate; \
	if [ "$$before" != "$$(git diff | sha256sum; git status --porcelain)" ]; then \
		git status --short >&2; echo "make generate has rewritten files, see above: commit what it has written" >&2; exit 1; \
	fi

.cache/bin/golangci-lint-$(GOLANGCI_LINT):
	@mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv $(@D)/golangci-lint $@

##@ The rest
.PHONY: bench
bench: programs core test-packages ## benchmarks, each against a named peer in the same run
	go run ./bench/pid1
	go run ./bench/select

.PHONY: bench-run
bench-run: programs core ## `sandbox run` beside `docker run`, and where its time goes
	go run ./bench/run

.PHONY: bench-hot
bench-hot: ## the hot path beside aws s3 sync, rclone, s5cmd, a raw client and cp -a
	@scripts/ensure-packages.sh scripts/bench.apt
	go run ./bench/hot

.PHONY: bench-exec
bench-exec: programs core ## the exec server beside docker exec and docker cp
	go run ./bench/exec

.PHONY: bench-cold
bench-cold: ## the cold path beside rclone mount, s3fs and a raw client
	@scripts/ensure-packages.sh scripts/bench.apt
	go run ./bench/cold

.PHONY: gvisor
gvisor: programs core suite .cache/bin/runsc ## the contract and the cost under gVisor beside runc, as root: writes docs/gvisor.md
	go run ./bench/gvisor >.cache/gvisor.md && mv .cache/gvisor.md docs/gvisor.md

.cache/bin/runsc:
	@. scripts/apt.sh; fetch_debian13 runsc usr/bin/runsc $@

.PHONY: clean
clean: ## removes bin, .cache and the images that no container uses
	rm -rf bin .cache
	@scripts/remove-images.sh
