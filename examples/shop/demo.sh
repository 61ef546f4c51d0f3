#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows an intercept of the shop's website, from beginning to end, with real commands and what they really print.
# `make demo` calls it. It exits with 0 only if every request was answered by whom it should have been.
#   examples/shop/demo.sh [--check]
# --check only looks whether this machine has what it takes.
#
# Environment:
#   VELO_CONTEXT  kubeconfig context to use (default: the current one)
#   VELO_INGRESS  URL of the cluster's Ingress controller (default: reach the Service through the API server)
set -euo pipefail
cd "$(dirname "$0")/../.."

namespace=shop
port=3002
context=()
if [ -n "${VELO_CONTEXT:-}" ]; then context=(--context "$VELO_CONTEXT"); fi
# How any caller of the Service asks for the website's page as JSON, and how the website comes to this machine.
call=(kubectl "${context[@]}" get --raw "/api/v1/namespaces/$namespace/services/website-container:http/proxy/api")
if [ -n "${VELO_INGRESS:-}" ]; then call=(curl --silent --show-error --fail --max-time 10 "$VELO_INGRESS/api"); fi
intercept=(kubectl velo "${context[@]}" intercept svc/website-container -n "$namespace" --port "$port:21458" --
  env PORT="$port" ADDRESS=127.0.0.1 bin/website)
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
# note explains what is shown.
note() { printf '  → %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
# run shows a command and runs it.
run() { printf '$ %s\n' "$*"; "$@"; }

# page asks for the website's page and keeps the answer. It fails where there is none, also in a condition, where bash
# doesn't leave a function at the first error.
page() {
  run "${call[@]}" | tee "$work/page" || return
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
  note "answered by $host"
}

# is_whole tells whether the website has heard from all that it asks.
is_whole() {
  grep -q 'orders from orders-' "$work/page" && grep -q 'page view' "$work/page"
}

# news prints what velo and the program that it runs have said since the last time.
shown=0
news() {
  local lines
  lines=$(($(wc -l <"$work/velo")))
  head -n "$lines" "$work/velo" | tail -n "+$((shown + 1))"
  shown=$lines
}

# await_line prints what velo and the program that it runs say until one of the lines is as wanted.
await_line() {
  for _ in $(seq 600); do
    if grep -q "$1" "$work/velo"; then
      news
      return
    fi
    kill -0 "$velo" 2>/dev/null || break
    news
    sleep 0.1
  done
  news
  die "kubectl velo didn't say '$1'"
}

if [ -n "${VELO_INGRESS:-}" ] && ! command -v curl >/dev/null; then
  die "the demo calls the Ingress with curl, which is not installed"
fi
if (exec 3<>"/dev/tcp/localhost/$port") 2>/dev/null; then
  die "something listens on localhost:$port already, where the demo runs its website: end that first"
fi
if [ "${1:-}" = --check ]; then exit; fi

say "The shop: a website that asks orders and redis"
if ! kubectl "${context[@]}" get namespace "$namespace" >/dev/null 2>&1; then
  run kubectl "${context[@]}" create namespace "$namespace"
fi
run kubectl "${context[@]}" apply -n "$namespace" -f examples/shop/manifests/
if [ ! -e .cluster/images/shop-redis.tar ]; then # made where Debian's package is
  run kubectl "${context[@]}" set image -n "$namespace" deployment/redis redis=redis:7
fi
run kubectl "${context[@]}" wait -n "$namespace" --for=condition=Available deployment --all --timeout=120s
calls=0
until page >/dev/null 2>&1 && is_whole; do # the Ingress controller, the nodes and the cluster's DNS have to hear of it
  if [ $((calls += 1)) -ge 300 ]; then die "the website doesn't answer, or not with what orders and redis say"; fi
  sleep 0.2
done
note "ready (found out by calls that aren't shown here, and count as page views)"

say "Before: a pod answers"
answered_by before pod

say "The same website on this machine, in the place of its pod"
printf '$ %s &\n' "${intercept[*]}"
: >"$work/velo"
"${intercept[@]}" >"$work/velo" 2>&1 &
velo=$!
await_line ' intercepted: '
await_line 'msg=listening'

say "During: this machine answers, with what it heard from orders and redis in the cluster"
answered_by during "$(hostname)"
note "the website, which runs here, logs that:"
await_line 'msg=answered'
is_whole || die "the website on this machine heard nothing from orders or redis"
grep -q '"apiToken":"given"' "$work/page" || die "the website on this machine has no token"
run kubectl velo deps
run kubectl velo "${context[@]}" status -n "$namespace"

say "The end, as with Ctrl-C"
run kill -INT "$velo"
while kill -0 "$velo" 2>/dev/null; do
  news
  sleep 0.1
done
wait "$velo" || die "kubectl velo ended with exit code $?"
velo=''
news
note "as it ends, it looks whether callers are served without it; its calls count as page views, too"

say "After: a pod answers again, and nothing is left"
answered_by after pod
left=$(run kubectl "${context[@]}" get all,serviceaccounts,roles,rolebindings -n "$namespace" -l app.kubernetes.io/managed-by=kubectl-velo 2>&1)
printf '%s\n' "$left"
[[ $left == *$'\n'"No resources found"* ]] || die "something is left"

say "Play on, in this directory"
if [ -z "${VELO_CONTEXT:-}" ]; then
  echo "  each terminal   export KUBECONFIG=$KUBECONFIG PATH=$PWD/bin:$PWD/.cluster/bin:\$PATH"
else
  echo "  each terminal   export PATH=$PWD/bin:\$PATH"
fi
if [ -n "${VELO_INGRESS:-}" ]; then
  echo "  the website     $VELO_INGRESS/"
else
  echo "  the website     ${call[*]}"
fi
echo "  intercept it    ${intercept[*]}"
echo "  end that        Ctrl-C"
if [ -z "${VELO_CONTEXT:-}" ]; then
  echo "  take it down    make cluster-down; unset KUBECONFIG"
else
  echo "  take it away    kubectl ${context[*]} delete namespace $namespace"
fi
