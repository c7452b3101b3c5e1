#!/usr/bin/env bash
# release.sh [DIR]: makes what a release is: a static binary for each platform, its SBOM (CycloneDX), and SHA256SUMS, in DIR (default dist).
# The version is the tag of the commit, `git tag v1.2.3`, and stands in the binary: `clusterdns -version`. Every binary is built twice, in
# clones at two places, and must come out the same. Needs Go, git, and the Go module proxy the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "release.sh: $*" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed; commit or stash them first"
version=$(git describe --tags --exact-match 2> /dev/null) || version=$(git describe --tags --always)
out=${1:-dist}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The build command is the image's, so that the binary is too.
command=$(sed -n 's/^RUN \(.* go build .*\)$/\1/p' deploy/Dockerfile)
for place in one two; do git clone -q . "$work/$place"; done
for platform in linux/amd64 linux/arm64; do
  name=clusterdns-$version-${platform/\//-}
  for place in one two; do
    (cd "$work/$place" && TARGETOS=${platform%/*} TARGETARCH=${platform#*/} bash -euc "${command//\/out\/clusterdns/$work/$place.bin}")
  done
  cmp "$work/one.bin" "$work/two.bin" || fail "$name: two builds differ"
  mv "$work/one.bin" "$out/$name"
  GOOS='' GOARCH='' go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -licenses=false -noserial \
    -version "$version" -output "$out/$name.cdx.json" "$out/$name" 2> "$work/log" || { cat "$work/log"; fail "no SBOM"; }
  echo "$name: $(stat -c %s "$out/$name") bytes, built twice alike, $(grep -c '"purl"' "$out/$name.cdx.json") components"
done
(cd "$out" && sha256sum clusterdns-"$version"-* > SHA256SUMS && cat SHA256SUMS)
