#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows an intercept of the shop's website, from beginning to end, with real commands and what they really print.
# `make demo` calls it. It exits with 0 only if every request was answered by whom it should have been.
#
# Environment:
#   VELO_CONTEXT  kubeconfig context to use (default: the current one)
#   VELO_INGRESS  URL of the cluster's Ingress controller (default: reach the Service through the API server)
set -euo pipefail
cd "$(dirname "$0")/../.."

namespace=shop
context=()
if [ -n "${VELO_CONTEXT:-}" ]; then context=(--context "$VELO_CONTEXT"); fi
work=$(mktemp -d)
velo=''

cleanup() {
  for pid in $velo; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

bold=$'\e[1m' plain=$'\e[0m'
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
# run shows a command and runs it.
run() { printf '$ %s\n' "$*"; "$@"; }

# page asks for the website's page as JSON, the way any caller of the Service would, and keeps the answer. It fails where
# there is none, also in a condition, where bash doesn't leave a function at the first error.
page() {
  if [ -n "${VELO_INGRESS:-}" ]; then
    run curl --silent --show-error --fail --max-time 10 "$VELO_INGRESS/api" | tee "$work/page" || return
  else
    run kubectl "${context[@]}" get --raw "/api/v1/namespaces/$namespace/services/website-container:http/proxy/api" | tee "$work/page" || return
  fi
  host=$(sed -n 's/.*"host":"\([^"]*\)".*/\1/p' "$work/page")
}

# is_by tells whose page it was.
is_by() {
  case $1 in
    pod) [[ $host == website-container-* ]] ;;
    *) [ "$host" = "$1" ] ;;
  esac
}

# answered_by asks for the page and checks whose it is. The nodes' routes follow the Service's a moment later, on a busy
# machine seconds, and until then a page is whose it was before.
answered_by() {
  page
  for _ in $(seq 10); do
    if is_by "$2"; then break; fi
    sleep 1
    page
  done
  is_by "$2" || die "$1: answered by $host, not by $2"
  printf '  → answered by %s\n' "$host"
}

# is_whole tells whether the website has heard from all that it asks.
is_whole() {
  grep -q 'orders from orders-' "$work/page" && grep -q 'page view' "$work/page"
}

# await_line waits until velo has said something.
await_line() {
  for _ in $(seq 600); do
    if grep -q "$1" "$work/velo"; then return; fi
    kill -0 "$velo" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/velo"
  die "kubectl velo didn't say '$1'"
}

if [ -n "${VELO_INGRESS:-}" ] && ! command -v curl >/dev/null; then
  die "the demo calls the Ingress with curl, which is not installed"
fi
if (exec 3<>/dev/tcp/localhost/3002) 2>/dev/null; then die "something listens on localhost:3002 already"; fi

say "The shop: a website that asks orders and redis"
kubectl "${context[@]}" create namespace "$namespace" --dry-run=client -o yaml | kubectl "${context[@]}" apply -f - >/dev/null
run kubectl "${context[@]}" apply -n "$namespace" -f examples/shop/manifests/
if [ ! -e .cluster/images/shop-redis.tar ]; then # made where Debian's package is
  run kubectl "${context[@]}" set image -n "$namespace" deployment/redis redis=redis:7
fi
run kubectl "${context[@]}" wait -n "$namespace" --for=condition=Available deployment --all --timeout=120s
for _ in $(seq 300); do # until the Ingress controller, the nodes and the cluster's DNS have heard of it
  if page >/dev/null 2>&1 && is_whole; then break; fi
  sleep 0.2
done

say "Before: a pod answers"
answered_by before pod

say "The same website on this machine, in the place of its pod"
printf '$ kubectl velo intercept svc/website-container -n %s --port 3002:21458 -- env PORT=3002 website &\n' "$namespace"
kubectl velo "${context[@]}" intercept svc/website-container -n "$namespace" --port 3002:21458 -- \
  env PORT=3002 ADDRESS=127.0.0.1 bin/website >"$work/velo" 2>&1 &
velo=$!
await_line ' intercepted: '
for _ in $(seq 100); do # until it listens
  if (exec 3<>/dev/tcp/localhost/3002) 2>/dev/null; then break; fi
  sleep 0.1
done
cat "$work/velo"
shown=$(wc -l <"$work/velo")

say "During: this machine answers, with what it heard from orders and redis in the cluster"
answered_by during "$(hostname)"
is_whole || die "the website on this machine heard nothing from orders or redis"
grep -q '"apiToken":"given"' "$work/page" || die "the website on this machine has no token"
run kubectl velo deps
run kubectl velo "${context[@]}" status -n "$namespace"

say "Ctrl-C"
kill -INT "$velo"
wait "$velo" || die "kubectl velo ended with exit code $?"
velo=''
tail -n "+$((shown + 1))" "$work/velo"

say "After: a pod answers again, and nothing is left"
answered_by after pod
left=$(run kubectl "${context[@]}" get all,serviceaccounts,roles,rolebindings -n "$namespace" -l app.kubernetes.io/managed-by=kubectl-velo 2>&1)
printf '%s\n' "$left"
[[ $left == *$'\n'"No resources found"* ]] || die "something is left"

say "Play on"
if [ -n "${VELO_INGRESS:-}" ]; then echo "  the website     $VELO_INGRESS/"; fi
if [ -z "${VELO_CONTEXT:-}" ]; then
  echo "  the cluster     export KUBECONFIG=$KUBECONFIG PATH=$PWD/bin:$PWD/.cluster/bin:\$PATH"
else
  echo "  the plugin      export PATH=$PWD/bin:\$PATH"
fi
echo "  intercept it    kubectl velo intercept svc/website-container -n $namespace --port 3002:21458 -- env PORT=3002 bin/website"
if [ -z "${VELO_CONTEXT:-}" ]; then
  echo "  take it down    make cluster-down"
else
  echo "  take it away    kubectl ${context[*]} delete namespace $namespace"
fi
