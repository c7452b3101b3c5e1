#!/usr/bin/env bash
# CoreDNS 1.15.0: `autopath` answers the full name of a service that is not there with another name, keeps its alias for as
# long as what it leads to, and says that there is no AAAA record with the SOA of another zone and without the alias.
#
# A search list makes web.prod.svc.cluster.local of web; who asks for it in full means that service. While the service is
# not there autopath answers with web, or with web in a domain of the node. An alias that takes the place of denials for
# 5 s is kept by caches for an hour, so a service that is created under the name is not found for so long. And where
# only A records are found, the answer for AAAA has neither the alias nor an SOA that is for the name that was asked for (RFC 2308
# section 2.1), which a resolver in between may drop.
#
# Needs Go, the Go module proxy, and dig. Seen: the answers to three questions.
set -euo pipefail
source "$(dirname "$0")/coredns.bash"
echo 'search prod.svc.cluster.local svc.cluster.local cluster.local' >"$folder/resolv.conf"
cat >"$folder/cluster.local" <<'ZONE'
@ 5 IN SOA ns.dns hostmaster 1 7200 1800 86400 5
ZONE
cat >"$folder/example.com" <<'ZONE'
@ 3600 IN SOA ns host 1 7200 1800 86400 3600
www 3600 IN A 192.0.2.1
ZONE
serve bind autopath file hosts <<COREFILE
.:5397 {
    bind 127.0.0.1
    autopath $folder/resolv.conf
    file $folder/cluster.local cluster.local
    file $folder/example.com example.com
    hosts /dev/null {
        192.0.2.2 web
    }
}
COREFILE
ask() { dig @127.0.0.1 -p 5397 "$@" +noall +answer +authority 2>/dev/null | grep -v '^;' | tr '\t' ' ' | tr -s ' ' | paste -sd ';'; }
seen 'a service that is not there' "$(ask web.prod.svc.cluster.local A)" \
	'web.prod.svc.cluster.local. 3600 IN CNAME web.;web. 3600 IN A 192.0.2.2'
seen 'an alias in the place of denials of 5 s' "$(ask www.example.com.prod.svc.cluster.local A)" \
	'www.example.com.prod.svc.cluster.local. 3600 IN CNAME www.example.com.;www.example.com. 3600 IN A 192.0.2.1'
seen 'without AAAA' "$(ask www.example.com.prod.svc.cluster.local AAAA)" \
	'example.com. 3600 IN SOA ns.example.com. host.example.com. 1 7200 1800 86400 3600'
