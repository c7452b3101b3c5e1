#!/usr/bin/env bash
# CoreDNS 1.15.0: what `acl` blocks or filters has an OPT record of its own, for every client.
#
# An OPT in a reply is for a client that sent one (RFC 6891 section 7), and DO repeats that of the query (RFC 3225
# section 3). The reply of acl always has one, with DO, because it carries the Extended DNS Error: to a query without
# EDNS with a size of 4096, to another with the size of the query, which is the client's and not the server's (RFC 6891
# section 6.2.3).
#
# Needs Go, the Go module proxy, and dig. Seen: the OPT of a reply to a query without EDNS.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
serve bind acl <<'COREFILE'
.:5395 {
    bind 127.0.0.1
    acl {
        block
    }
}
COREFILE
seen 'query without EDNS' "$(dig @127.0.0.1 -p 5395 www.test +noedns +noall +comments | grep EDNS: || true)" \
	'; EDNS: version: 0, flags: do; udp: 4096'
seen 'query with EDNS and no DO' "$(dig @127.0.0.1 -p 5395 www.test +bufsize=1400 +noall +comments | grep EDNS: || true)" \
	'; EDNS: version: 0, flags: do; udp: 1400'
