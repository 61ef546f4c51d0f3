# SPDX-License-Identifier: Apache-2.0
#
# Everything that is built, tested and shown. `make` lists the targets.
#
# Variables:
#   CONTEXT=name  run demo and e2e against that context of your kubeconfig, instead of a cluster of the project's own
#   INGRESS=url   with CONTEXT: where its Ingress controller is reached, if it has one
#   RUN=pattern   end-to-end tests to run, as for `go test -run`
#   TIMES=number  how often end-to-end tests repeat a failure (default: 50 ends under load, 10 of each other; 10 in `make test`)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION   ?= dev
CONTEXT   ?=
INGRESS   ?=
RUN       ?=
TIMES     ?=
IMAGE_TAG := dev

state   := $(CURDIR)/.cluster
cluster := $(state)/bin/velo-cluster
kubectl := $(state)/bin/kubectl
images  := $(addprefix $(state)/images/,traffic-proxy.tar shop-website.tar shop-orders.tar shop-redis.tar peer.tar)
lint    := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
release := -trimpath -ldflags '-s -w -X github.com/kubectl-velo/kubectl-velo/pkg/plugin.Version=$(VERSION)'

# Plain binaries, but for the race detector in tests.
export CGO_ENABLED ?= 0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##
## Build

.PHONY: build
build: ## build the plugin into bin/
	@go build $(release) -o bin/ ./cmd/kubectl-velo

.PHONY: programs
programs: build
	@GOOS=linux go build $(release) -o bin/ ./cmd/traffic-proxy ./test/e2e/peer
	@GOOS=linux go build -C examples/shop -trimpath -ldflags '-s -w' -o $(CURDIR)/bin/ ./cmd/website ./cmd/orders

.PHONY: images
images: programs $(cluster) ## write the images as archives into .cluster/images/
	@mkdir -p $(state)/images
	@$(cluster) image --name ghcr.io/kubectl-velo/traffic-proxy:$(IMAGE_TAG) -o $(state)/images/traffic-proxy.tar --file bin/traffic-proxy:/traffic-proxy
	@$(cluster) image --name ghcr.io/kubectl-velo/shop-website:$(IMAGE_TAG) -o $(state)/images/shop-website.tar --file bin/website:/website
	@$(cluster) image --name ghcr.io/kubectl-velo/shop-orders:$(IMAGE_TAG) -o $(state)/images/shop-orders.tar --file bin/orders:/orders
	@$(cluster) image --name ghcr.io/kubectl-velo/shop-redis:$(IMAGE_TAG) -o $(state)/images/shop-redis.tar --deb redis-server:/usr/bin/redis-server \
		|| { rm -f $(state)/images/shop-redis.tar; echo "redis-server can't be had here: the demo will ask your cluster for the image redis:7"; }
	@$(cluster) image --name ghcr.io/kubectl-velo/peer:$(IMAGE_TAG) -o $(state)/images/peer.tar --file bin/peer:/peer

.PHONY: $(cluster)
$(cluster):
	@go build -C test/cluster -o $@ .

.PHONY: $(kubectl)
$(kubectl):
	@go build -C tools/kubectl -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2' -o $@ .

##
## A cluster

.PHONY: cluster-up
cluster-up: $(cluster) $(kubectl) ## bring up a real Kubernetes on this machine (Linux, root)
	@$(cluster) up

.PHONY: cluster-down
cluster-down: $(cluster) ## take it down; nothing is left of it
	@$(cluster) down

# What demo and e2e run against: a cluster of the project's own, or the one that CONTEXT names.
ifeq ($(CONTEXT),)
target: cluster-up images
	@$(cluster) load $(images)
access = KUBECONFIG=$(state)/kubeconfig VELO_INGRESS=$$(cat $(state)/ingress-url)
else
target: images $(kubectl)
	@test/load-images.sh '$(CONTEXT)' $$(ls $(images) 2>/dev/null)
access = VELO_CONTEXT='$(CONTEXT)' VELO_INGRESS='$(INGRESS)'
endif
.PHONY: target

##
## See it, test it

.PHONY: demo
demo: target ## show an intercept from beginning to end; leaves the cluster up
	@$(access) PATH=$(CURDIR)/bin:$(state)/bin:$$PATH examples/shop/demo.sh

.PHONY: e2e
e2e: target ## run the end-to-end tests against a real cluster
	@$(access) VELO_E2E_TIMES=$(TIMES) PATH=$(CURDIR)/bin:$(state)/bin:$$PATH go test -tags e2e -count 1 -timeout 30m -parallel 4 -v $(if $(RUN),-run '$(RUN)') ./test/e2e

.PHONY: unit
unit: ## run the unit tests, with the race detector
	@CGO_ENABLED=1 go test -race ./...
	@CGO_ENABLED=1 go test -C examples/shop -race ./...
	@CGO_ENABLED=1 go test -C test/cluster -race ./...

.PHONY: lint
lint: ## run the linters
	@for module in . examples/shop test/cluster; do (cd $$module && $(lint) run --build-tags e2e --config $(CURDIR)/.golangci.yml); done

.PHONY: vet
vet: ## vet for linux, darwin and windows
	@for os in linux darwin windows; do echo "vet for $$os" && GOOS=$$os go vet ./... && GOOS=$$os go vet -C test/cluster . ./internal/...; done

.PHONY: test
test: ## run everything: unit tests, lint, vet, and the end-to-end tests on a cluster of its own
	@for part in unit lint vet; do echo "► $$part" && $(MAKE) --no-print-directory $$part; done
	@trap '$(MAKE) --no-print-directory cluster-down' EXIT; $(MAKE) --no-print-directory e2e TIMES=$(or $(TIMES),10)

.PHONY: clean
clean: ## remove what was built; a cluster is taken down first
	@if [ -x $(cluster) ]; then $(cluster) down; fi
	@rm -rf bin $(state)
