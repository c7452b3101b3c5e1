#!/usr/bin/env bash
# dnsmasq 2.90: passes on the client subnet that a client sends, and gives the answer to everybody.
#
# Without `add-subnet` dnsmasq sends no EDNS Client Subnet of its own. One that a client has put into its query goes
# upstream as it is, and the answer comes back with its scope. That answer is kept like any other: a client of another
# network, which the answer is not for (RFC 7871 section 7.3.1), and one that says no network get it until its TTL ends. A
# server that answers by subnet cannot see it: the query looks like one of a cache that knows RFC 7871.
#
# Needs Debian 12's dnsmasq-base (2.90-4~deb12u2), Go, the Go module proxy, and dig. Seen: answers and questions.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
upstream 5397 <<'GO'
			if opt := query.IsEdns0(); opt != nil && q.Qtype == dns.TypeA {
				for _, o := range opt.Option {
					if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
						add(fmt.Sprintf("A %s", subnet.Address)) // the answer shows whom it is for
						subnet.SourceScope = subnet.SourceNetmask
						m.SetEdns0(1232, false)
						m.IsEdns0().Option = append(m.IsEdns0().Option, subnet)
					}
				}
			}
GO
dnsmasq_before 5397 5398
ask() { dig @127.0.0.1 -p 5398 near.test A +noall +answer "$@" | awk '{print $5}'; }
forget
seen 'from 198.51.100.0/24' "$(ask +subnet=198.51.100.0/24)" 198.51.100.0
seen 'from 203.0.113.0/24' "$(ask +subnet=203.0.113.0/24)" 198.51.100.0
seen 'from nowhere' "$(ask)" 198.51.100.0
seen 'questions that came through' "$(questions)" 1
