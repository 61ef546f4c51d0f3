#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds a release of the commit that is checked out twice, in clones in two directories, and compares
# every file that would be published; dist has the first. Then it installs the archives as krew does, runs the plugin through the real kubectl, and
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
# Both are clones: without a remote GoReleaser knows no commit, and so no time that stays the same.
for n in first second; do
  git clone -q "$root" "$again/in-$n"
  git -C "$again/in-$n" checkout -q "$(git rev-parse HEAD)"
  (cd "$again/in-$n" && make --no-print-directory release-snapshot && published "$again/$n")
done
rm -rf dist
cp -r "$again/in-first/dist" dist
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
