#!/usr/bin/env bash
# Extended DNS Errors of an upstream: dnsmasq 2.90 passes them on with the first denial and not from its cache, and Unbound
# 1.17.1 never, also with `ede: yes`.
#
# RFC 8914 section 3 lets a forwarder pass them on, and a client that asks dnsmasq twice sees the reason once. After
# SERVFAIL and REFUSED, which it does not keep, dnsmasq gives it each time. Unbound's `ede` is about its own errors: the
# reply to a client has no OPT option of the upstream's, and REFUSED becomes SERVFAIL without a reason. Who looks for the
# reason has to ask the server that gave it.
#
# Needs Debian 12's dnsmasq-base (2.90-4~deb12u2) and unbound (1.17.1), Go, the Go module proxy, and dig. Seen: rcode and reason.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
PATH=$PATH:/usr/sbin
wants Unbound 1.17.1 "$(unbound -V | sed -n '1s/Version //p')"
upstream 5397 <<'GO'
			switch {
			case is("denied"):
				m.Rcode = dns.RcodeNameError
				deny()
				reason(dns.ExtendedErrorCodeOther, "not in the list")
			case is("refused"):
				m.Rcode = dns.RcodeRefused
				reason(dns.ExtendedErrorCodeProhibited, "not for you")
			}
GO
dnsmasq_before 5397 5398
cat >"$folder/unbound.conf" <<CONF
server:
    directory: "$folder"
    pidfile: ""
    chroot: ""
    username: ""
    do-daemonize: no
    use-syslog: no
    logfile: "$folder/unbound.log"
    interface: 127.0.0.1@5399
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "test." nodefault
    ede: yes
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@5397
CONF
unbound -d -c "$folder/unbound.conf" >"$folder/unbound.out" 2>&1 &
started+=($!)
until_asked 5399
ask() { dig @127.0.0.1 -p "$1" "$2" A +noall +comments | sed -n 's/.*status: \([A-Z]*\),.*/\1/p; s/^; EDE: \([0-9]*\).*: (\(.*\))/\1 \2/p' | xargs; }
seen 'dnsmasq, a denial' "$(ask 5398 denied.test)" 'NXDOMAIN 0 not in the list'
seen 'dnsmasq, the same again' "$(ask 5398 denied.test)" NXDOMAIN
seen 'dnsmasq, REFUSED' "$(ask 5398 refused.test)" 'REFUSED 18 not for you'
seen 'dnsmasq, the same again' "$(ask 5398 refused.test)" 'REFUSED 18 not for you'
seen 'Unbound, a denial' "$(ask 5399 denied.test)" NXDOMAIN
seen 'Unbound, REFUSED' "$(ask 5399 refused.test)" SERVFAIL
