#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Gives image archives to the cluster that a kubeconfig context names, with the tool that made the cluster.
#   test/load-images.sh CONTEXT ARCHIVE...
set -euo pipefail
context=$1
shift
case $context in
  kind-*) load=(kind load image-archive --name "${context#kind-}") ;;
  k3d-*) load=(k3d image import --cluster "${context#k3d-}") ;;
  minikube) load=(minikube image load) ;;
  *)
    if command -v kubectl >/dev/null && ! kubectl config get-contexts "$context" >/dev/null 2>&1; then
      echo "error: there is no context $context in your kubeconfig" >&2
      exit 1
    fi
    {
      echo "error: context $context isn't named as those of kind (kind-…), k3d (k3d-…) and minikube are: these images can't be loaded"
      printf '  %s\n' "${@#"$PWD"/}"
      echo "hint: give them to its nodes yourself, and go on with LOADED=yes; or push them to a registry: see docs/air-gapped.md"
    } >&2
    exit 1
    ;;
esac
if ! command -v "${load[0]}" >/dev/null; then
  echo "error: context $context is of a cluster of ${load[0]}, which isn't in the PATH" >&2
  exit 1
fi
images=("${@##*/}")
exec "$(dirname "$0")/step.sh" "loading ${images[*]%.tar}" "${load[@]}" "$@"
