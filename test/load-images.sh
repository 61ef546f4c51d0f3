#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Gives image archives to the cluster that a kubeconfig context names, with the tool that made the cluster.
#   test/load-images.sh CONTEXT ARCHIVE...
set -euo pipefail
context=$1
shift
case $context in
  kind-*) kind load image-archive --name "${context#kind-}" "$@" ;;
  k3d-*) k3d image import --cluster "${context#k3d-}" "$@" ;;
  minikube) minikube image load "$@" ;;
  *)
    echo "The nodes behind context $context need these images; load them the way that cluster does it, once:"
    printf '  %s\n' "$@"
    ;;
esac
