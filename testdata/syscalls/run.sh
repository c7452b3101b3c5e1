#!/usr/bin/env bash
# run.sh: system calls for each answered query, counted by strace -c while dnsperf asks as fast as is answered; more than is
# allowed is a failure. It counts and measures no time. Needs go, strace and dnsperf.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
address=127.0.0.1 port=${PORT:-17353} upstream=$((${PORT:-17353} + 1))

go build -o "$work/clusterdns" .
cat > "$work/upstream" <<C
.:$upstream {
	bind $address
	template IN A {
		answer "{{ .Name }} 60 IN A 192.0.2.1"
	}
}
C
cat > "$work/Corefile" <<C
.:$port {
	bind $address
	kubernetes cluster.local {
		manifests $PWD/testdata/cluster
	}
	cache 300
	forward . $address:$upstream
}
C
seq -f 'm%.0f.example.com A' 300000 > "$work/misses"
echo 'cached.example.com A' > "$work/cached"
echo 'datarc-test.datarc.svc.cluster.local A' > "$work/cluster"

"$work/clusterdns" -conf "$work/upstream" > "$work/upstream.log" 2>&1 & pids+=($!)
"$work/clusterdns" -conf "$work/Corefile" > "$work/server.log" 2>&1 & server=$!; pids+=($server)
for _ in $(seq 100); do dig +short +tries=1 +time=1 @$address -p $port datarc-test.datarc.svc.cluster.local | grep -q . && break; sleep 0.1; done

# counted NAME MOST [CALLS [OPTIONS]]: asks the queries of a file, with options of dnsperf, while system calls are counted:
# all, or those that a regular expression matches.
counted() {
  local file=${1%-*} calls=${3:-.}
  dnsperf -s $address -p $port -d "$work/cached" -n 10 -c 1 > /dev/null
  strace -f -c -o "$work/$1.strace" -p $server 2> "$work/$1.err" & local tracing=$!
  for _ in $(seq 100); do grep -q attached "$work/$1.err" && break; sleep 0.1; done
  dnsperf -s $address -p $port -d "$work/$file" -c 4 -T 1 -q 100 -l 2 "${@:4}" > "$work/$1.perf"
  kill -INT $tracing
  wait $tracing || true
  local completed made
  completed=$(awk '/Queries completed/ {print $3}' "$work/$1.perf")
  made=$(awk -v calls="^($calls)" '$1 + 0 > 0 && $NF != "total" && $NF ~ calls {n += $4} END {print n + 0}' "$work/$1.strace")
  awk -v name="$1" -v n="$completed" -v made="$made" -v most="$2" -v all="$calls" 'BEGIN {
    each = n ? made / n : 1e9
    printf "%s: %d calls for %d queries, %.3f for each, at most %.2f allowed\n", name, made, n, each, most
    exit !(n > 1000 && (made > 0 || all != ".") && each <= most)
  }' || { cat "$work/$1.strace"; tail -n 3 "$work/server.log"; exit 1; }
}
counted cluster "${CLUSTER:-0.3}"
counted cached "${CACHED:-0.3}"
counted misses "${MISSES:-3}"
# Whom the scheduler wakes or signals, at a rate at which the reader sleeps before each query.
counted cached-quiet "${QUIET:-0.05}" 'futex|tgkill' -Q 1000
