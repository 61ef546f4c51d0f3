#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Lists source files that don't name their licence in the first two lines, and fails if there are any. JSON and the like, which
# have no comments, go with the repository's LICENSE.
set -euo pipefail
cd "$(dirname "$0")/.."
sources='\.(go|sh|ya?ml|toml)$|(^|/)Makefile$'
missing=$(git ls-files -co --exclude-standard | grep -v '/testdata/' | while read -r file; do
  # What is run is a source, too, whatever it is called.
  if [ -f "$file" ] && { [[ $file =~ $sources ]] || [ "$(head -c 2 "$file" | tr -d '\0')" = '#!' ]; }; then
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
  fi
done)
if [ -n "$missing" ]; then
  echo "These files don't begin with SPDX-License-Identifier: Apache-2.0, in a comment:"
  echo "$missing"
  exit 1
fi >&2
