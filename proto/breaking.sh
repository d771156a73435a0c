#!/usr/bin/env bash
# Holds the contract against another revision's: breaking.sh BUF REVISION. Run from the repository's root.
set -eu
buf=$1 revision=$2
if ! git cat-file -e "$revision:proto/clarion" 2>/dev/null; then
  echo "breaking changes: $revision has no contract yet, nothing to compare with"
  exit 0
fi
old=build/contract-before
rm -rf "$old" && mkdir -p "$old/build"
git archive "$revision" buf.yaml proto | tar -x -C "$old"
cp -r build/googleapis "$old/build/googleapis"
"$buf" breaking --against "$old"
