#!/usr/bin/env bash
# CoreDNS 1.15.0: a `prefetch` that fails takes away a denial that was good for another while.
#
# `prefetch` asks for a popular name before its TTL ends, so that no client waits. If the upstream answers SERVFAIL at that
# moment, an answer with records stays until its TTL ends. A denial does not: failures are kept in the same half of the
# cache, and the SERVFAIL stands in its place at once, although the denial had 14 seconds left to be given (RFC 2308
# section 5). Without `prefetch` the same name is denied for all of its TTL.
#
# Needs Go, the Go module proxy, and dig. Seen: the rcode while the upstream fails, and before the TTL of 20 s is over.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
serve bind cache template forward <<'COREFILE'
.:5393 {
    bind 127.0.0.1
    cache {
        success 1000 20 20
        denial 1000 20 20
        prefetch 1 1m 90%
    }
    forward . 127.0.0.1:5395
}
.:5394 {
    bind 127.0.0.1
    cache {
        success 1000 20 20
        denial 1000 20 20
    }
    forward . 127.0.0.1:5395
}
COREFILE
cat >"$folder/Upstream" <<'COREFILE'
.:5395 {
    bind 127.0.0.1
    template IN A there.test {
        answer "{{ .Name }} 20 IN A 192.0.2.1"
    }
    template IN A gone.test {
        rcode NXDOMAIN
        authority "test. 20 IN SOA ns.test. host.test. 1 60 60 60 20"
    }
}
COREFILE
printf '.:5395 {\n bind 127.0.0.1\n template ANY ANY . {\n rcode SERVFAIL\n }\n}\n' >"$folder/Failing"
upstream=
trap 'kill "$server" $upstream 2>/dev/null; rm -rf "$folder"' EXIT
# start COREFILE RCODE starts the upstream, and waits until it answers with RCODE.
start() {
	"$folder/coredns" -conf "$folder/$1" >"$folder/upstream" 2>&1 &
	upstream=$!
	for _ in $(seq 50); do
		[ "$(rcode 5395 gone.test)" = "$2" ] && return
		sleep 0.1
	done
	cat "$folder/upstream"
	exit 1
}
# rcode PORT NAME is the rcode of the reply.
rcode() { dig @127.0.0.1 -p "$1" "$2" A +tries=1 +time=8 | sed -nE 's/.*status: ([A-Z]+),.*/\1/p'; }
start Upstream NXDOMAIN
for name in there.test gone.test; do
	for port in 5393 5394; do rcode $port $name; done
done >/dev/null
sleep 3 # 90 percent of the TTL are left from now on
kill "$upstream"
wait "$upstream" 2>/dev/null || true
start Failing SERVFAIL
for name in there.test gone.test; do
	for port in 5393 5394; do
		seen "$name at port $port, the upstream fails" "$(rcode $port $name)" "$([ $name = gone.test ] && echo NXDOMAIN || echo NOERROR)"
	done
done
sleep 2 # for the prefetch to fail; the TTL has 14 s left
seen 'an answer, without prefetch' "$(rcode 5394 there.test)" NOERROR
seen 'an answer, with prefetch' "$(rcode 5393 there.test)" NOERROR
seen 'a denial, without prefetch' "$(rcode 5394 gone.test)" NXDOMAIN
seen 'a denial, with prefetch' "$(rcode 5393 gone.test)" SERVFAIL
