#!/usr/bin/env bash
# Proves what the image of deploy/Dockerfile does, where no container engine runs: the binary of its build command, on a read-only root with
# the files of its last stage and what a kubelet mounts, as the image's user and as a user that the image does not know, without
# capabilities, answers on port 53 of a network namespace of its own. The cluster that it answers for is deploy/base, served by the
# Corefile of deploy/base.
#
# It must be root, on Linux, and needs dig, ip, setpriv and unshare (Debian: bind9-dnsutils iproute2 util-linux).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "FAIL: $*"
  [ ! -e "$work/log" ] || sed 's/^/  | /' "$work/log"
  echo "0 passed, 1 failed"
  exit 1
}

# --- the Dockerfile, as far as it says what the image holds

last=$(sed '1,/^FROM scratch$/d' deploy/Dockerfile)
user=$(sed -n 's/^USER //p' <<<"$last")
entrypoint=$(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' <<<"$last")

# build runs the build command, with $work/out for /out.
build() {
  local command
  command=$(sed -n 's/^RUN \(.* go build .*\)$/\1/p' deploy/Dockerfile)
  [ -n "$command" ] || fail "the Dockerfile has no build command"
  echo "build: $command"
  TARGETOS=$(go env GOOS) TARGETARCH=$(go env GOARCH) bash -euc "${command//\/out\//$work/out/}"
}

# image fills $root with what the last stage copies. The build stage is Debian, so its files are those of a Debian machine.
image() {
  local from to
  while read -r from to; do
    [ "${from#/out/}" = "$from" ] || from=$work$from
    mkdir -p "$root$(dirname "$to")"
    cp "$from" "$root$to"
    echo "image: $to ($(stat -c '%s bytes, mode %a' "$root$to"))"
  done < <(sed -n 's/^COPY --from=build //p' <<<"$last")
}

# kubelet adds what a kubelet does, by the Deployment: /proc, the node's resolv.conf, the ConfigMap. The Corefile's one change is where
# the cluster comes from: from manifests, of which there is no snapshot. The name server of resolv.conf is one that nobody reaches.
kubelet() {
  local config=$root/etc/coredns
  mkdir -p "$root/proc" "$config"
  mount -t proc proc "$root/proc"
  echo "nameserver 192.0.2.53" > "$root/etc/resolv.conf"
  cp deploy/base/*.yaml "$config"
  rm "$config/kustomization.yaml" # with it the folder is a kustomize tree, whose files are not served before it is built
  sed -n '/^  Corefile: |$/,$ { /^  Corefile/d; s/^    //; /^ *kubernetes /s|$|\n       manifests .|; /^ *snapshot /d; p }' deploy/base/configmap.yaml > "$config/Corefile"
  grep -q manifests "$config/Corefile" || fail "the Corefile of deploy/base has no kubernetes"
}

# --- one run

# confine starts the image as user $1 of group $2. setpriv is not in the image: a shell that has given up everything waits inside, with
# the programs of this machine lent to it, until they are gone and the root is read-only; then it becomes the server.
confine() {
  local lent=(usr) name memory
  memory=$(sed -n '/GOMEMLIMIT/,/value/s/^ *value: //p' deploy/base/deployment.yaml)
  mkdir "$root/usr"
  mount --rbind /usr "$root/usr"
  for name in bin lib lib64; do
    [ ! -L "/$name" ] || { cp -P "/$name" "$root/$name"; lent+=("$name"); }
  done
  rm -f "$work/waits" "$work/goes"
  mkfifo "$work/waits" "$work/goes"
  exec 3<>"$work/waits" 4<>"$work/goes"
  chroot "$root" env -i PATH=/usr/bin:/bin GOMEMLIMIT="$memory" \
    setpriv --reuid="$1" --regid="$2" --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs \
    sh -c 'echo >&3; read -r _ <&4; exec "$@" 3>&- 4<&-' sh "$entrypoint" -conf /etc/coredns/Corefile > "$work/log" 2>&1 &
  server=$!
  read -r -t 10 _ <&3 || fail "the confined shell did not start"
  umount -l "$root/usr"
  rmdir "$root/usr"
  for name in "${lent[@]:1}"; do rm "$root/$name"; done
  mount -o remount,ro "$root"
  ! touch "$root/written" 2> /dev/null || fail "the root can be written to"
  echo "root: $(cd "$root" && find . -xdev -type f | sort | tr '\n' ' ')"
  echo >&4
}

# get prints the status line of an endpoint of the server.
get() {
  exec 5<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&5 && head -n 1 <&5 | tr -d '\r'
  exec 5>&-
}

# expect compares what dig finds with $1.
expect() {
  local want=$1 got
  shift
  got=$(dig @127.0.0.1 +short +tries=1 +time=2 "$@" | sort | xargs) || true
  echo "dig $*: $got"
  [ "$got" = "$want" ] || fail "want $want"
}

# powerless checks that the server is who it should be and has no way to be more.
powerless() {
  local status=/proc/$server/status
  for line in "Uid: $1 $1 $1 $1" "Gid: $2 $2 $2 $2" "Groups:" "NoNewPrivs: 1" Cap{Inh,Prm,Eff,Bnd,Amb}": 0000000000000000"; do
    grep -qx "$line" < <(tr -s '\t ' ' ' < "$status" | sed 's/ $//') || fail "not so: $line"
  done
  [ "$(readlink "/proc/$server/exe")" = "$root$entrypoint" ] || fail "it runs $(readlink "/proc/$server/exe")"
  echo "process: user $1, group $2, no capabilities, no new privileges"
}

answers() {
  local address
  address=$(sed -n 's/^ *clusterIP: //p' deploy/base/service.yaml)
  for protocol in +notcp +tcp; do
    expect "$address" $protocol kube-dns.kube-system.svc.cluster.local A
    expect "0 100 53 kube-dns.kube-system.svc.cluster.local." $protocol _dns-tcp._tcp.kube-dns.kube-system.svc.cluster.local SRV
    expect "kube-dns.kube-system.svc.cluster.local." $protocol -x "$address"
  done
}

# run is one life of the server: start, answers, SIGTERM.
run() {
  echo "-- as $1:$2"
  root=$work/root
  mkdir -p "$root"
  mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$root"
  image
  kubelet
  confine "$1" "$2"
  for ((tries = 100; tries > 0; tries--)); do
    [ -d "/proc/$server" ] || fail "the server ended"
    [ "$(get 8181 /ready 2> /dev/null)" != "HTTP/1.0 200 OK" ] || break
    sleep 0.1
  done
  powerless "$1" "$2"
  for probe in "8181 /ready" "8080 /health"; do
    # shellcheck disable=SC2086
    [ "$(get $probe)" = "HTTP/1.0 200 OK" ] || fail "probe $probe: $(get $probe)"
  done
  answers
  local began=$SECONDS grace
  grace=$(sed -n 's/^ *terminationGracePeriodSeconds: \([0-9]*\).*/\1/p' deploy/base/deployment.yaml)
  kill -TERM "$server"
  sleep 1
  answers # in the lameduck time too
  wait "$server" || fail "it ended with status $?"
  [ $((SECONDS - began)) -lt "$grace" ] || fail "it took $((SECONDS - began)) s to end"
  echo "ended $((SECONDS - began)) s after SIGTERM"
  umount "$root/proc" "$root"
}

# inside is in namespaces of its own: what is mounted here, and who runs here, ends with them.
inside() {
  ip link set lo up
  echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
  run "${user%:*}" "${user#*:}"
  run 1000650000 0 # as a cluster does that gives each namespace a range of user ids
  echo "1 passed, 0 failed"
}

if [ "${1:-}" = inside ]; then
  work=$2
  inside
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # the user of the server has to get through
[ "$(id -u)" = 0 ] || fail "it needs root, for namespaces of its own"
[ -n "$user" ] && [ -n "$entrypoint" ] || fail "the last stage of the Dockerfile has no USER or ENTRYPOINT"
build
unshare --mount --net --ipc --uts --pid --fork --kill-child --mount-proc "$0" inside "$work"
