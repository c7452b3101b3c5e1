#!/usr/bin/env bash
# CoreDNS 1.15.0: the block of a `dns64` that has its prefix behind the directive is accepted and not read.
#
# Its manual gives the form `dns64 [PREFIX] { [translate_all] prefix PREFIX [allow_ipv4] }`, and a prefix can stand in
# either place. In the first place it ends the reading of the directive: each word of the block then counts as one more
# `dns64`, so that `allow_ipv4` has no effect, and a misspelled property is no error. The server starts, and clients over
# IPv4 get no synthesized records. Write the prefix into the block.
#
# Needs Go, the Go module proxy, and dig. Seen: port 5391 synthesizes nothing, port 5392 does.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
serve bind dns64 hosts <<'COREFILE'
.:5391 {
    bind 127.0.0.1
    dns64 64:ff9b::/96 {
        allow_ipv4
        no_such_property
    }
    hosts /dev/null {
        192.0.2.6 web.test
    }
}
.:5392 {
    bind 127.0.0.1
    dns64 {
        prefix 64:ff9b::/96
        allow_ipv4
    }
    hosts /dev/null {
        192.0.2.6 web.test
    }
}
COREFILE
seen 'prefix before the block' "$(dig @127.0.0.1 -p 5391 web.test AAAA +short)" ''
seen 'prefix in the block' "$(dig @127.0.0.1 -p 5392 web.test AAAA +short)" '64:ff9b::c000:206'
