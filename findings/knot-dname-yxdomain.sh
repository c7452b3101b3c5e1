#!/usr/bin/env bash
# Knot DNS 3.2.6: a name that a DNAME record makes too long is answered from the DNAME's target itself.
#
# RFC 6672 section 3.2, step 3C: if the new name would be longer than 255 octets, "set RCODE to YXDOMAIN and exit". Knot DNS
# sets it and goes on, at the node that the target names: where that has records of the type they are in the answer, as if
# they were of the long name, and where the target does not exist the rcode is NXDOMAIN.
#
# Needs Debian 12's knot (3.2.6-1) and dnsutils. Seen: the answers below.
set -euo pipefail
source "$(dirname "$0")/knot.bash"
serve <<'ZONE'
@ 60 IN SOA ns host 1 3600 3600 3600 60
@ 60 IN NS ns
ns 60 IN A 192.0.2.1
here 60 IN DNAME a-target-that-is-longer-than-its-owner
a-target-that-is-longer-than-its-owner 60 IN A 192.0.2.2
gone 60 IN DNAME another-target-that-is-longer-than-its-owner
ZONE
label=$(printf 'x%.0s' $(seq 60))
ask() { dig @127.0.0.1 -p 5396 "$label.$label.$label.$(printf 'x%.0s' $(seq 55)).$1.zone.test" A +noall +comments +answer; }
rcode() { ask "$1" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'; }
seen 'rcode, the target exists' "$(rcode here)" YXDOMAIN
seen 'address in the answer' "$(ask here | awk '$4 == "A" {print $1, $5}')" 'a-target-that-is-longer-than-its-owner.zone.test. 192.0.2.2'
seen 'rcode, the target does not exist' "$(rcode gone)" NXDOMAIN
