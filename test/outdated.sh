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
  # Only direct ones are asked for: of the others there are hundreds, and -e lets some of those be missing. Of a module of
  # tools, those that are built are direct.
  direct=$(go list -C "$module" -m -e -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all)
  tools=$(go list -C "$module" -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' tool 2>/dev/null || true)
  readarray -t asked < <(printf '%s\n' "$direct" "$tools" | grep . | sort -u)
  list=$(go list -C "$module" -m -u -f '{{if .Update}}  {{.Path}} {{.Version}} → {{.Update.Version}}{{end}}' "${asked[@]}")
  list=$(sed '/^$/d' <<<"$list")
  if [ -n "$list" ]; then
    found=1
    printf '%s:\n%s\n' "$module" "$list"
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
