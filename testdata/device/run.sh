#!/usr/bin/env bash
# run.sh: the directive local_address as a whole program, asked by dig, in a network namespace of its own. Needs root, go, dig, ip, unshare
# and setpriv.
set -euo pipefail
if [ $# = 0 ]; then
  cd "$(dirname "$0")/../.."
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  go build -o "$work/clusterdns" .
  timeout 120 unshare --net bash testdata/device/run.sh "$work"
  exit
fi

cd "$1"
failed() { echo "FAIL: $*"; ip -d address; cat log; exit 1; }

# await COMMAND…: waits for it to succeed, 10 s at most.
await() { for _ in $(seq 100); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; failed "$*"; }
answers() { dig "@$1" +time=1 +tries=1 "${@:2}" a.test | grep -q 'status: NOERROR'; }
all() { answers 169.254.20.10 && answers 169.254.20.10 +tcp && answers fd00::a && answers fd00::a +tcp; }
gone() { ! ip link show nodelocaldns; }
start() { ./clusterdns -conf Corefile >> log 2>&1 & pid=$!; }

trap 'kill -9 "${pid:-}" 2>/dev/null || true' EXIT
ip link set lo up
cat > with <<C
.:53 {
	bind 169.254.20.10 fd00::a
	local_address 169.254.20.10 fd00::a
	whoami
	prometheus 127.0.0.1:9153
}
C
sed '/local_address/d; s/bind.*/bind 127.0.0.1/' with > without
cp with Corefile

start
await all
echo "ok: the addresses are there and answer over UDP and TCP"

second=0
./clusterdns -conf Corefile >> log 2>&1 || second=$?
[ $second = 1 ] && all || failed "a second instance ended with $second"
echo "ok: a second instance is refused, and takes nothing from the first"

ip address del 169.254.20.10/32 dev nodelocaldns
await all
ip link del nodelocaldns
await all
echo "ok: what somebody removes comes back"

kill -9 $pid
wait $pid || true
ip link show nodelocaldns > /dev/null || failed "kill -9 removed the device"
start
await all
echo "ok: the next process takes over what a killed one has left"

kill -USR1 $pid
all || failed "a reload took the addresses away"
cp without Corefile
kill -USR1 $pid
await gone
await answers 127.0.0.1
cp with Corefile
kill -USR1 $pid
await all
echo "ok: a reload keeps, removes and makes them, as its Corefile says"

kill $pid
wait $pid || failed "SIGTERM ended it with $?"
gone > /dev/null 2>&1 || failed "SIGTERM left the device"
echo "ok: SIGTERM removes them"

if setpriv --reuid 65532 --clear-groups --inh-caps=-all --bounding-set=-all ./clusterdns -conf Corefile > refused 2>&1; then failed "without the capability"; fi
grep -q 'Corefile:3: local_address: .*NET_ADMIN' refused || { cat refused; failed "the error does not say what is missing"; }
echo "ok: without NET_ADMIN it says so, with file and line"
