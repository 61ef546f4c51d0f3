# SPDX-License-Identifier: Apache-2.0
#
# Everything that is built, tested and shown. `make` lists the targets.
#
# Variables:
#   CONTEXT=name  run demo, e2e and load against that context of your kubeconfig, instead of a cluster of the project's own
#   INGRESS=url   with CONTEXT: where its Ingress controller is reached, if it has one
#   LOADED=yes    with CONTEXT: its nodes have the images already, put there in another way than `make load` knows
#   RUN=pattern   end-to-end tests to run, as for `go test -run`
#   TIMES=number  how often end-to-end tests repeat a failure (default: 50 ends under load, 10 of each other; 10 in `make test`)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION   ?= dev
CONTEXT   ?=
INGRESS   ?=
LOADED    ?=
RUN       ?=
TIMES     ?=
IMAGE_TAG := dev

state   := $(CURDIR)/.cluster
cluster := $(state)/bin/velo-cluster
kubectl := $(state)/bin/kubectl
images  := $(addprefix $(state)/images/,traffic-proxy.tar shop-website.tar shop-orders.tar shop-redis.tar)
# Says what the command after it does, if that takes a while.
step    := $(CURDIR)/test/step.sh
lint    := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
release := -trimpath -ldflags '-s -w -X github.com/kubectl-velo/kubectl-velo/pkg/plugin.Version=$(VERSION) -X main.version=$(VERSION)'

# The modules that this repository's own code is in.
modules := . examples/shop test/cluster test/bench test/e2e/pgclient tools/release
# Those that build programs of others, and the tools, which are run from the module cache.
builds  := test/cluster/kube test/cluster/coredns tools/kubectl
tools   := tools tools/goreleaser

# Plain binaries, but for the race detector in tests.
export CGO_ENABLED ?= 0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##
## Build

.PHONY: build
build: bin/kubectl-velo ## build the plugin into bin/
	@echo '✔ the plugin is bin/kubectl-velo'

.PHONY: bin/kubectl-velo
bin/kubectl-velo:
	@$(step) 'building kubectl-velo' go build $(release) -o bin/ ./cmd/kubectl-velo

.PHONY: programs
programs: bin/kubectl-velo
	@GOOS=linux $(step) 'building traffic-proxy and peer' go build $(release) -o bin/ ./cmd/traffic-proxy ./test/e2e/peer
	@GOOS=linux $(step) 'building website and orders' go build -C examples/shop -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/ ./cmd/website ./cmd/orders

# $(call image,NAME) makes the archive of an image of that name; what is in it follows.
image = $(step) 'making the image $(1)' $(cluster) image --name ghcr.io/kubectl-velo/$(1):$(IMAGE_TAG) -o $(state)/images/$(1).tar

.PHONY: images
images: programs $(cluster) ## write the images as archives into .cluster/images/
	@mkdir -p $(state)/images
	@$(call image,traffic-proxy) --file bin/traffic-proxy:/traffic-proxy
	@$(call image,shop-website) --file bin/website:/website
	@$(call image,shop-orders) --file bin/orders:/orders
	@$(call image,shop-redis) --deb redis-server:/usr/bin/redis-server \
		|| { rm -f $(state)/images/shop-redis.tar; echo "redis-server can't be had here: the demo will ask your cluster for the image redis:7"; }
	@$(call image,peer) --file bin/peer:/peer

# $(call first,FILE) prepares for what it takes to build it for the first time.
first = $(if $(wildcard $(1)),, (some minutes))

.PHONY: $(cluster)
$(cluster):
	@$(step) 'building velo-cluster$(call first,$@)' go build -C test/cluster -o $@ .

.PHONY: $(kubectl)
$(kubectl):
	@$(step) 'building kubectl$(call first,$@)' \
		go build -C tools/kubectl -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2' -o $@ .

##
## A cluster

.PHONY: cluster-up
cluster-up: $(cluster) $(kubectl) ## bring up a real Kubernetes on this machine (Linux, root)
	@$(cluster) up

.PHONY: cluster-down
cluster-down: $(cluster) ## take it down; nothing is left of it
	@$(cluster) down

# What demo and e2e run against: a cluster of the project's own, or the one that CONTEXT names.
.PHONY: load target
ifeq ($(CONTEXT),)
load: cluster-up images
	@$(cluster) load $$(ls $(images) 2>/dev/null)
target: load
access = KUBECONFIG=$(state)/kubeconfig VELO_INGRESS=$$(cat $(state)/ingress-url)
else
load: images ## build the images and load them, with CONTEXT into kind, k3d or minikube
	@test/load-images.sh '$(CONTEXT)' $$(ls $(images) 2>/dev/null)
target: $(if $(LOADED),images,load) $(kubectl)
access = VELO_CONTEXT='$(CONTEXT)' VELO_INGRESS='$(INGRESS)'
endif

##
## See it, test it

# Before anything is built. A cluster of the project's own will have an Ingress.
.PHONY: demo-check
demo-check:
	@VELO_INGRESS='$(if $(CONTEXT),$(INGRESS),soon)' examples/shop/demo.sh --check

.PHONY: demo
demo: demo-check target ## show an intercept from beginning to end; leaves the cluster up
	@$(access) PATH=$(CURDIR)/bin:$(state)/bin:$$PATH examples/shop/demo.sh

# What the tests of dependencies use: PostgreSQL in the cluster, and its clients and redis's on this machine. What can't be
# had, they do without.
test_images := $(state)/images/test-postgres.tar
e2e: images += $(state)/images/peer.tar $(test_images)
# The version that is here, or else the one that Debian's package postgresql leads to.
postgres = $(or $(lastword $(sort $(notdir $(wildcard /usr/lib/postgresql/*)))),$(shell apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-//p'))
postgres_dir = /usr/lib/postgresql/$(postgres)

$(state)/images/test-postgres.tar: test/e2e/postgres/start test/e2e/postgres/ready test/e2e/postgres/passwd | $(cluster)
	@mkdir -p $(@D)
	@$(call image,test-postgres) --entrypoint /start \
		--env PGBIN=$(postgres_dir)/bin --env PGDATA=/data/db --file test/e2e/postgres/start:/start --file test/e2e/postgres/ready:/ready \
		--file test/e2e/postgres/passwd:/etc/passwd --program /bin/sh --deb postgresql-$(postgres):$(postgres_dir)/bin/postgres \
		--program $(postgres_dir)/bin/initdb --program $(postgres_dir)/bin/pg_isready --program $(postgres_dir)/lib/plpgsql.so \
		--program $(postgres_dir)/lib/dict_snowball.so --dir /usr/share/postgresql/$(postgres) \
		|| echo "PostgreSQL can't be had here: the tests that use it are skipped"

.PHONY: test-tools
test-tools: ## install and build the programs that end-to-end tests run on this machine
	@$(step) 'building pgclient' go build -C test/e2e/pgclient -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/ .
	@{ command -v psql && command -v redis-cli; } >/dev/null \
		|| $(step) 'installing postgresql-client redis-tools (about 20 s)' \
			sh -c '{ apt-get update -q && apt-get install -q -y --no-install-recommends postgresql-client redis-tools; } >/dev/null' \
		|| echo "psql and redis-cli can't be had here: the tests that use them are skipped"

.PHONY: e2e
e2e: $(test_images) target test-tools ## run the end-to-end tests against a real cluster
	@$(access) VELO_E2E_TIMES=$(TIMES) PATH=$(CURDIR)/bin:$(state)/bin:$$PATH go test -tags e2e -count 1 -timeout 60m -parallel 4 -v $(if $(RUN),-run '$(RUN)') ./test/e2e

# On a cluster of the project's own: the line to it is emulated.
bench = $(step) 'building bench' go build -C test/bench -o $(CURDIR)/bin/ . && KUBECONFIG=$(state)/kubeconfig PATH=$(CURDIR)/bin:$(state)/bin:$$PATH bench

.PHONY: bench
bench: target ## measure the tunnel beside its alternatives, into docs/ (two hours)
	@go test -C test/bench ./internal/wan
	@$(bench) --json $(state)/bench.json --out docs

.PHONY: bench-quick
bench-quick: target ## the same in short, into .cluster/bench (5 minutes)
	@$(bench) --quick --json $(state)/bench.json --out $(state)/bench

.PHONY: bench-profile
bench-profile: cluster-up bin/kubectl-velo ## the same on a cable, with profiles, into .cluster/profile (2 minutes)
	@mkdir -p $(state)/profile && rm -f $(state)/profile/*.pprof
	@$(step) 'building with profiles' go build -tags profile -o $(state)/profile/ ./cmd/...
	@$(cluster) image --name ghcr.io/kubectl-velo/traffic-proxy:profile -o $(state)/profile/traffic-proxy.tar --file $(state)/profile/traffic-proxy:/traffic-proxy
	@$(cluster) load $(state)/profile/traffic-proxy.tar
	@$(bench) --quick --rtt 0 --loss 0 --rounds 1 --duration 10s --transfer 512 --only kubectl,velo-forward@profile,velo-reverse@profile \
		--plugin profile=$(state)/profile/kubectl-velo,ghcr.io/kubectl-velo/traffic-proxy:profile --profile $(state)/profile

.PHONY: docs
docs: ## write the pages of docs/ that are made of the code
	@go test -count 1 ./docs -update

.PHONY: recording
recording: demo-check target ## record the demo, as text, into docs/demo.cast
	@$(access) PATH=$(CURDIR)/bin:$(state)/bin:$$PATH unshare --uts bash -c 'hostname laptop && exec "$$@"' recording \
		go run ./test/record --title 'kubectl velo: make demo' --replace '$(CURDIR)=~/kubectl-velo' -o docs/demo.cast -- examples/shop/demo.sh

.PHONY: unit
unit: $(kubectl) ## run the unit tests, with the race detector
	@CGO_ENABLED=1 go test -race ./...
	@CGO_ENABLED=1 go test -C examples/shop -race ./...
	@CGO_ENABLED=1 go test -C test/cluster -race ./...
	@CGO_ENABLED=1 go test -C test/bench -race -short ./...
	@CGO_ENABLED=1 PATH=$(state)/bin:$$PATH go test -C tools/release -race ./...

.PHONY: lint
lint: licences dependencies ## run the linters
	@for module in $(modules); do (cd $$module && $(lint) run --build-tags e2e,profile --config $(CURDIR)/.golangci.yml); done

.PHONY: licences
licences: ## check that every source file names its licence
	@test/licences.sh

.PHONY: dependencies
dependencies: ## check that every dependency in a go.mod is used, and that no other is
	@for module in $(modules) $(builds); do echo "dependencies of $$module" && go mod tidy -C $$module -diff; done

.PHONY: outdated
outdated: ## list what there is a newer version of: dependencies, tools, Go
	@test/outdated.sh $(modules) $(builds) $(tools)

.PHONY: vet
vet: ## vet for linux, darwin and windows
	@for os in linux darwin windows; do echo "vet for $$os" && GOOS=$$os go vet -tags profile ./... && GOOS=$$os go vet -C test/cluster . ./internal/...; done

.PHONY: test
test: ## run everything: unit tests, lint, vet, end-to-end tests on a cluster of its own
	@for part in unit lint vet; do echo "► $$part" && $(MAKE) --no-print-directory $$part; done
	@trap '$(MAKE) --no-print-directory cluster-down' EXIT; $(MAKE) --no-print-directory e2e TIMES=$(or $(TIMES),10)

##
## Releases: docs/release.md

# The same commit makes the same bytes: nothing of the environment gets into what is built, and Go is one version.
toolchain  := go$(shell cat .go-version)
commit     := $(shell git rev-parse HEAD 2>/dev/null)
committed  := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
fixed      := env -u GOAMD64 -u GOARM64 GOTOOLCHAIN=$(toolchain) GOEXPERIMENT= GOFLAGS=-mod=readonly CGO_ENABLED=0
goreleaser  = $(fixed) PATH=$(CURDIR)/bin:$$PATH go tool -modfile=$(CURDIR)/tools/goreleaser/go.mod goreleaser
proxy_image := ghcr.io/kubectl-velo/traffic-proxy
proxy_tar   = dist/image/traffic-proxy_$(VERSION)_oci.tar

.PHONY: bin/velo-release
bin/velo-release:
	@go build -C tools/release -o $(CURDIR)/$@ .

.PHONY: release-check
release-check: ## check the configuration of releases
	@$(goreleaser) check

.PHONY: release-image
release-image: bin/velo-release ## build the traffic-proxy's image for linux/amd64 and linux/arm64 into dist/image
	@rm -rf dist/image && mkdir -p dist/image
	@for arch in amd64 arm64; do \
		$(fixed) GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' \
			-o dist/image/$$arch/traffic-proxy ./cmd/traffic-proxy; \
		bin/velo-release sbom --version $(VERSION) --created $(committed) dist/image/$$arch/traffic-proxy \
			dist/image/traffic-proxy_$(VERSION)_linux_$$arch.cdx.json; \
	done
	@bin/velo-release image --name traffic-proxy --version $(VERSION) --revision '$(commit)' --created $(committed) \
		--source https://github.com/kubectl-velo/kubectl-velo \
		--description 'Stands in for the pods of a Service that kubectl velo intercepts' \
		-o $(proxy_tar) amd64=dist/image/amd64/traffic-proxy arm64=dist/image/arm64/traffic-proxy > dist/image/digest
	@echo "$(proxy_image):$(VERSION)@$$(cat dist/image/digest)"

.PHONY: release-snapshot
release-snapshot: bin/velo-release ## build what a release of this commit would have, into dist
	@$(goreleaser) release --snapshot --clean
	@$(MAKE) --no-print-directory krew

.PHONY: krew
krew: bin/velo-release ## write the krew manifest of the archives in dist/plugin to dist/velo.yaml
	@tag=$$(basename dist/plugin/kubectl-velo_*_linux_amd64.tar.gz _linux_amd64.tar.gz) && \
		bin/velo-release krew --tag "$${tag#kubectl-velo_}" --dist dist/plugin > dist/velo.yaml

.PHONY: release-test
release-test: release-check $(kubectl) ## build a release of this commit twice, compare the bytes, install it as krew does
	@PATH=$(state)/bin:$$PATH test/release.sh

# The image is pushed before the plugin that names it is published. It is built again by GoReleaser, with the same digest.
.PHONY: release
release: bin/velo-release ## make the release of the tag that is checked out (CI does; it takes logins)
	@tag=$$(git describe --exact-match --tags --match 'v*') && \
		$(MAKE) --no-print-directory release-image VERSION="$$tag" && digest=$$(cat dist/image/digest) && \
		bin/velo-release push "dist/image/traffic-proxy_$${tag}_oci.tar" "$(proxy_image):$$tag" && \
		$(goreleaser) release --clean && \
		{ [ "$$(cat dist/image/digest)" = "$$digest" ] || { echo "the image that was pushed is not the one that the plugin names" >&2; exit 1; }; }

.PHONY: clean
clean: ## remove what was built; a cluster is taken down first
	@if [ -x $(cluster) ]; then $(cluster) down; fi
	@rm -rf bin dist $(state)
