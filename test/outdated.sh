#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Lists what a newer version is there of, and fails if there is any: direct dependencies and tools of the Go modules that are
# given as directories, and Go itself, within its minor version.
#   test/outdated.sh MODULE...
set -euo pipefail
cd "$(dirname "$0")/.."
found=0
for module; do
  # Of a module of tools, those that are built are the direct ones.
  list=$(cd "$module" && {
    go list -m -u -f '{{if and (not .Main) (not .Indirect) .Update}}{{.Path}} {{.Version}} → {{.Update.Version}}{{end}}' all
    go list -f '{{with .Module}}{{.Path}}{{end}}' tool 2>/dev/null | sort -u | grep -v '^github.com/kubectl-velo/' | while read -r tool; do
      go list -m -u -f '{{if .Update}}{{.Path}} {{.Version}} → {{.Update.Version}}{{end}}' "$tool"
    done
  } | grep . | sort -u || true)
  if [ -n "$list" ]; then
    found=1
    echo "$module:"
    sed 's/^/  /' <<<"$list"
  fi
done
go=$(cat .go-version)
newest=$(go list -m -versions golang.org/toolchain | tr ' ' '\n' |
  sed -n "s/^v0\.0\.1-go\(${go%.*}\.[0-9]*\)\.linux-amd64$/\1/p" | sort -V | tail -n 1)
if [ -n "$newest" ] && [ "$newest" != "$go" ]; then
  found=1
  echo ".go-version: Go $go → $newest"
fi
exit "$found"
