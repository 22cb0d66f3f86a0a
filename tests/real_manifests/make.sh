#!/usr/bin/env bash
# Makes images.json and the <name>.json manifests beside this script. README.md
# lists the tools. This script never writes or edits a manifest itself: the
# tests must read exactly the bytes that a real registry serves.
set -euo pipefail

out=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
started=()
cleanup() {
    for pid in "${started[@]}"; do kill "$pid" || true; wait "$pid" || true; done
    rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
# Every tool reads settings and credentials in HOME. This one has none.
export HOME=$work
# The registry is on loopback, where no proxy of the environment can reach it.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
# Fixed times and identities keep the digests of the images the same each time.
# Digests of signatures and attestations change, because these are random or dated.
created=2024-01-01T00:00:00Z
export SOURCE_DATE_EPOCH=1704067200

# --- the registry; with port 0 the kernel chooses a port, which the log shows
cat >registry.yml <<YML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $work/storage}}
http: {addr: "127.0.0.1:0"}
YML
: >registry.log # there to be read before the registry writes it
OTEL_TRACES_EXPORTER=none docker-registry serve registry.yml >registry.log 2>&1 &
started+=($!)
for _ in $(seq 100); do
    port=$(sed -nE 's/.*listening on 127\.0\.0\.1:([0-9]+).*/\1/p' registry.log)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat registry.log >&2; exit 1; }
repo=127.0.0.1:$port/sample
api=http://127.0.0.1:$port/v2/sample
identity=registry.example/sample # in signatures, where the port would change

types='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'
header() { sed -nE "s/^$1: *([^\r]*)\r?$/\1/Ip" head.txt; }
digest_of() {
    curl -sSf --head -H "Accept: $types" "$api/manifests/$1" >head.txt
    header Docker-Content-Digest
}
# keep NAME REFERENCE: saves the exact bytes the registry serves, and an entry.
mkdir new
keep() {
    curl -sSf -D head.txt -o "new/$1.json" -H "Accept: $types" "$api/manifests/$2"
    local digest
    digest=$(header Docker-Content-Digest)
    echo "${digest#sha256:}  new/$1.json" | sha256sum --check --quiet
    jq --arg name "$1" --arg digest "$digest" --arg type "$(header Content-Type)" \
        '{name: $name, file: ($name + ".json"), digest: $digest, mediaType: $type, tags: []}
            + if .subject then {subject: .subject.digest} else {} end' "new/$1.json" >>entries
}
# The same for an index and its children; an attestation's platform is unknown.
keep_all() {
    keep "$1" "$2"
    jq -r '(.manifests | map({key: .digest, value: .platform.architecture}) | from_entries) as $arch
        | .manifests[] | .annotations["vnd.docker.reference.digest"] as $of
        | (if $of then "attestation-" + $arch[$of] else .platform.architecture end) + " " + .digest' \
        "new/$1.json" | while read -r suffix digest; do keep "$1-$suffix" "$digest"; done
}

# --- multi: an OCI index of two images
umoci init --layout layout
# Storage of its own, and vfs, which needs no mount.
bud() { buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }
bud manifest create multi >/dev/null
for arch in amd64 arm64; do
    echo "hello from $arch" >hello
    touch -d "$created" hello
    umoci new --image layout:$arch
    umoci insert --image layout:$arch --history.created "$created" hello /hello
    umoci config --image layout:$arch --no-history --os linux --architecture $arch --created "$created"
    bud manifest add --os linux --arch $arch multi "oci:layout:$arch" >/dev/null
done
# --all pushes the children by digest only, so no tag names them.
bud manifest push --quiet --all --format oci --tls-verify=false multi "docker://$repo:1.0"
oras tag --plain-http "$repo:1.0" latest >/dev/null
keep_all multi 1.0
multi=$(digest_of 1.0)
amd64=$(jq -r 'select(.name == "multi-amd64").digest' entries)

# cosign prints much, and warns about options that are intended here (no log, an SBOM as a tag).
quietly() { "$@" >log 2>&1 || { cat log >&2; return 1; }; }

# --- docker-multi: the same as a Docker manifest list, signed by skopeo, which
# signs the list and each child (sha256-<hex>.sig)
export COSIGN_PASSWORD=secret
quietly cosign generate-key-pair
echo -n "$COSIGN_PASSWORD" >passphrase
mkdir registries.d
echo 'default-docker: {use-sigstore-attachments: true}' >registries.d/sample.yaml
copy() {
    skopeo --insecure-policy --registries.d registries.d copy --quiet --all \
        --src-tls-verify=false --dest-tls-verify=false "$@"
}
copy --format v2s2 --sign-by-sigstore-private-key cosign.key --sign-passphrase-file passphrase \
    --sign-identity "$identity:1.0-docker" "docker://$repo:1.0" "docker://$repo:1.0-docker"
keep_all docker-multi 1.0-docker
for name in docker-multi docker-multi-amd64 docker-multi-arm64; do
    digest=$(jq -r --arg name $name 'select(.name == $name).digest' entries)
    keep $name-sig "${digest/:/-}.sig"
done

# --- cosign's tags: a signature and an SBOM of the index, an attestation of a child
key=(--key cosign.key --tlog-upload=false --yes)
quietly cosign sign "${key[@]}" --sign-container-identity "$identity:1.0" "$repo@$multi"
echo '{"made": "by make.sh"}' >predicate.json
quietly cosign attest "${key[@]}" --type custom --predicate predicate.json "$repo@$amd64"
quietly cosign attach sbom --sbom predicate.json "$repo@$multi"
keep multi-sig "${multi/:/-}.sig"
keep multi-sbom "${multi/:/-}.sbom"
keep multi-amd64-att "${amd64/:/-}.att"

# --- artifacts with a subject; the registry has no referrers API, so oras keeps
# an index under the tag sha256-<hex>. The second index supersedes the first,
# which remains untagged, because this registry (like many) permits no deletion.
attach() {
    oras attach --plain-http --format json --artifact-type "application/vnd.example.$1" \
        --annotation "org.opencontainers.image.created=$created" "$repo@$2" predicate.json |
        jq -r .digest
}
keep artifact-signature "$(attach signature "$multi")"
keep multi-referrers-superseded "$(digest_of "${multi/:/-}")"
keep artifact-sbom "$(attach sbom "$multi")"
keep multi-referrers "${multi/:/-}"
keep artifact-amd64 "$(attach signature "$amd64")"
keep multi-amd64-referrers "${amd64/:/-}"

# --- buildkit: an index with attestations. dockerd runs its daemon, without
# changes to the host's network, and with mounts that end with it
echo '{"features": {"containerd-snapshotter": true}}' >daemon.json
export DOCKER_HOST=unix://$work/docker.sock
unshare --mount dockerd --config-file daemon.json --host "$DOCKER_HOST" --pidfile "$work/docker.pid" \
    --data-root "$work/docker" --exec-root "$work/exec" --storage-driver native \
    --bridge none --iptables=false --ip6tables=false --ip-forward=false >dockerd.log 2>&1 &
started+=($!)
for _ in $(seq 100); do
    if docker info >/dev/null 2>&1; then break; fi
    sleep 0.1
done
docker info >/dev/null 2>&1 || { cat dockerd.log >&2; exit 1; }
mkdir context
cp -p hello context/ # with its time, which the layer holds
printf 'FROM scratch\nCOPY hello /hello\n' >context/Dockerfile
docker buildx build --quiet --platform linux/amd64,linux/arm64 --provenance true --push \
    --tag "$repo:1.0-buildkit" context >/dev/null
keep_all buildkit 1.0-buildkit
buildkit=$(digest_of 1.0-buildkit)
# cosign's other way to sign: a subject and an index of referrers instead of a .sig tag
COSIGN_EXPERIMENTAL=1 quietly cosign sign "${key[@]}" --registry-referrers-mode oci-1-1 \
    --sign-container-identity "$identity:1.0-buildkit" "$repo@$buildkit"
keep buildkit-referrers "${buildkit/:/-}"
keep buildkit-sig "$(jq -r '.manifests[0].digest' new/buildkit-referrers.json)"

# --- the tags, as the registry lists them; each must belong to an entry
curl -sSf "$api/tags/list" | jq -r '.tags | sort[]' | while read -r tag; do
    jq -n --arg tag "$tag" --arg digest "$(digest_of "$tag")" '{tag: $tag, digest: $digest}'
done >tags
jq -s --slurpfile tags tags 'sort_by(.name)
    | map(.digest as $digest | .tags = [$tags[] | select(.digest == $digest).tag])
    | if (map(.tags[]) | length) == ($tags | length) then . else error("a tag of no entry") end' \
    entries >new/images.json
# The storage lists every manifest, tagged or not. None may be missing here, so
# that the set is a whole repository.
diff <(jq -r '.[].digest' new/images.json | sort) \
    <(ls "storage/docker/registry/v2/repositories/sample/_manifests/revisions/sha256" | sed 's/^/sha256:/' | sort)
jq -r '.[] | (.digest | ltrimstr("sha256:")) + "  " + .file' new/images.json |
    (cd new && sha256sum --check --quiet)
jq -rs '.[] | (.manifests // [])[].digest, (.subject // empty).digest' $(ls new/*.json | grep -v images.json) |
    while read -r digest; do jq -e --arg digest "$digest" 'any(.[]; .digest == $digest)' new/images.json >/dev/null; done

rm -f "$out"/*.json
cp new/*.json "$out"
