#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds a release of the commit that is checked out twice, here into dist and in a clone in another directory, and compares
# every file that would be published. Then it installs the archives as krew does, runs the plugin through the real kubectl, and
# checks the sizes. It needs kubectl in the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
if [ -n "$(git status --porcelain)" ]; then
  echo "there are changes that aren't committed: a clone wouldn't have them" >&2
  exit 1
fi

# published SUMS: the sums of all that would be published, by name.
published() {
  (cd dist && sha256sum plugin/*.tar.gz plugin/*.zip plugin/*.json plugin/checksums.txt image/*.tar image/*.json image/digest velo.yaml |
    grep -v -e plugin/artifacts.json -e plugin/metadata.json) >"$1"
}

again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
make --no-print-directory release-snapshot
published "$again/first"
git clone -q "$root" "$again/clone"
git -C "$again/clone" checkout -q "$(git rev-parse HEAD)"
(cd "$again/clone" && make --no-print-directory release-snapshot && published "$again/second")
if ! diff "$again/first" "$again/second"; then
  echo "the same commit made other bytes" >&2
  exit 1
fi
echo "$(wc -l <"$again/first") files, the same twice:"
cat "$again/first"
(cd dist/plugin && sha256sum --quiet --ignore-missing -c checksums.txt)

VELO_DIST=$root/dist/plugin go test -C tools/release -count 1 -v -run TestInstall ./internal/krew

# limit MEGABYTES FILE...: none is larger.
limit() {
  local most=$1 file size
  shift
  for file; do
    size=$(stat -c %s "$file")
    printf '%6.1f MB  %s\n' "$((size / 100000))e-1" "$file"
    if [ "$size" -ge "$((most * 1000000))" ]; then
      echo "that is not under $most MB" >&2
      exit 1
    fi
  done
}
limit 40 dist/plugin/kubectl-velo_*/kubectl-velo*
limit 15 dist/image/*/traffic-proxy
