#!/usr/bin/env bash
# Knot DNS 3.2.6: in a zone without signatures a question for NSEC at an alias is NODATA, and the alias is not followed.
#
# Of the types that may stand beside a CNAME record (RFC 2181 section 10.1) the zone has none, so the question is for what
# the alias leads to, as with every other type (RFC 1034 section 4.3.2, step 3a). Knot DNS answers NSEC alone from the owner
# of the alias, with the SOA record, so a cache that asks keeps "the alias has no such type" for it.
#
# Needs Debian 12's knot (3.2.6-1) and dnsutils. Seen: the answers to TXT and NSEC, without DO.
set -euo pipefail
version=3.2.6
PATH=$PATH:/usr/sbin
[ "$(knotd -V)" = "knotd (Knot DNS), version $version" ] || { echo "wants Knot DNS $version"; exit 1; }
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
server=
cat >"$folder/zone" <<'ZONE'
@ 60 IN SOA ns host 1 3600 3600 3600 60
@ 60 IN NS ns
ns 60 IN A 192.0.2.1
alias 60 IN CNAME ns
ZONE
cat >"$folder/conf" <<CONF
server:
    rundir: "$folder"
    listen: 127.0.0.1@5396
database:
    storage: "$folder"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
zone:
  - domain: zone.test
    file: "$folder/zone"
CONF
knotd -c "$folder/conf" >"$folder/log" 2>&1 &
server=$!
for _ in $(seq 100); do
	dig @127.0.0.1 -p 5396 +tries=1 +time=1 zone.test SOA >/dev/null && break
	sleep 0.1
done

# seen NAME GOT WANT ends the script if what was seen has changed.
seen() {
	printf '%s: %s\n' "$1" "$2"
	[ "$2" = "$3" ] || { printf 'Knot DNS %s was seen to say: %s\n' "$version" "$3"; exit 1; }
}
ask() { dig @127.0.0.1 -p 5396 alias.zone.test "$1" +noall +answer +authority | awk '{print $1, $4}' | xargs; }
seen TXT "$(ask TXT)" 'alias.zone.test. CNAME zone.test. SOA'
seen NSEC "$(ask NSEC)" 'zone.test. SOA'
