#!/usr/bin/env bash
# Knot DNS 3.2.6: in a zone without signatures a question for NSEC at an alias is NODATA, and the alias is not followed.
#
# Of the types that may stand beside a CNAME record (RFC 2181 section 10.1) the zone has none, so the question is for what
# the alias leads to, as with every other type (RFC 1034 section 4.3.2, step 3a). Knot DNS answers NSEC alone from the owner
# of the alias, with the SOA record, so a cache that asks keeps "the alias has no such type" for it.
#
# Needs Debian 12's knot (3.2.6-1) and dnsutils. Seen: the answers to TXT and NSEC, without DO.
set -euo pipefail
source "$(dirname "$0")/knot.bash"
serve <<'ZONE'
@ 60 IN SOA ns host 1 3600 3600 3600 60
@ 60 IN NS ns
ns 60 IN A 192.0.2.1
alias 60 IN CNAME ns
ZONE
ask() { dig @127.0.0.1 -p 5396 alias.zone.test "$1" +noall +answer +authority | awk '{print $1, $4}' | xargs; }
seen TXT "$(ask TXT)" 'alias.zone.test. CNAME zone.test. SOA'
seen NSEC "$(ask NSEC)" 'zone.test. SOA'
