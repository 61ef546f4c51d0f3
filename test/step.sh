#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command and says what it does, as velo-cluster does of its steps, once it has run for half a second: what has
# nothing to do says nothing. With `make -s` nothing is said at all.
#   test/step.sh 'WHAT (HOW LONG)' COMMAND...
set -euo pipefail
what=$1
shift
if [[ ${MAKEFLAGS:-} =~ ^[A-Za-z]*s ]]; then exec "$@"; fi

(sleep 0.5 >/dev/null 2>&1 && printf '► %s\n' "$what" >&2) &
announcement=$!
trap 'kill "$announcement" 2>/dev/null || true' EXIT
exec 3>&1 4>&2
TIMEFORMAT=%1R
took=$({ time "$@" >&3 2>&4 3>&- 4>&-; } 2>&1)
if ! kill "$announcement" 2>/dev/null; then printf '✔ %s %ss\n' "${what%% (*}" "$took" >&2; fi
