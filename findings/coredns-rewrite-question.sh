#!/usr/bin/env bash
# CoreDNS 1.15.0: after some `rewrite` rules of names the reply has the new name as its question, and clients drop it.
#
# A reply has to repeat the question of its query (RFC 5452 section 9.1). `rewrite name exact` puts the name back, with
# and without `continue`; a rule of another kind does so without `continue` only. After `rewrite continue name prefix`,
# without `answer auto`, the reply has the new name in its question section, so that dig drops it and waits until its time
# is over. Behind `dns64` the same happens to AAAA questions, with `answer auto` and without `continue`: the
# question that dns64 sends to itself has the new name already, and the reply keeps it.
#
# Needs Go, the Go module proxy, and dig. Seen: the question section of each reply.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
serve bind dns64 rewrite hosts <<'COREFILE'
.:5393 {
    bind 127.0.0.1
    rewrite continue name exact exact.test new.test
    rewrite continue name prefix prefix new
    rewrite stop name prefix stop new
    hosts /dev/null {
        192.0.2.6 new.test
    }
}
.:5394 {
    bind 127.0.0.1
    dns64 {
        allow_ipv4
    }
    rewrite stop name exact old.test new.test answer auto
    hosts /dev/null {
        192.0.2.6 new.test
    }
}
COREFILE
# question PORT NAME TYPE is the name in the question section of the reply.
question() {
	dig @127.0.0.1 -p "$1" "$2" "$3" +noall +question +tries=1 +time=1 |
		sed -nE 's/.*Question section mismatch: got ([^/]*).*/mismatch: \1/p; s/^;([a-z.]+)\s+IN\s.*/\1/p' || true
}
seen 'continue name exact' "$(question 5393 exact.test A)" 'exact.test.'
seen 'stop name prefix' "$(question 5393 stop.test A)" 'stop.test.'
seen 'continue name prefix' "$(question 5393 prefix.test A)" 'mismatch: new.test'
seen 'name exact with answer auto behind dns64, A' "$(question 5394 old.test A)" 'old.test.'
seen 'name exact with answer auto behind dns64, AAAA' "$(question 5394 old.test AAAA)" 'mismatch: new.test'
