#!/usr/bin/env bash
# BusyBox 1.35 nslookup: asks all domains of the search list, shows all of their answers, and fails if one of them does not
# have the name; a name with a dot it asks for as it is, whatever `ndots` says.
#
# So the usual first check in a pod misleads twice: `nslookup kubernetes.default` fails where every program resolves it,
# since the search list is left out, and `nslookup kubernetes` prints the address and ends with status 1, since the other
# domains say NXDOMAIN. A name without a dot is never asked for alone. `getent ahosts` asks as programs do.
#
# Needs Debian 12's apt, Go, the Go module proxy, dig, and root. Seen: status and questions.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
version=1:1.35.0-4+deb12u1+b1
if [ ! -e "$folder/bin/busybox" ]; then
	(cd "$folder" && apt-get download "busybox=$version" >download 2>&1 && dpkg -x busybox_*.deb .) || { cat "$folder/download"; exit 1; }
fi
upstream 53 <<'GO'
			if name == "web.a.test." && q.Qtype == dns.TypeA {
				add("A 192.0.2.1")
			} else if deny(); name != "web.a.test." {
				m.Rcode = dns.RcodeNameError
			}
GO
# nslookup NAME prints the status, the addresses and the names that were asked for.
nslookup() {
	local status=0
	forget
	"$folder/bin/busybox" nslookup "$1" >"$folder/printed" 2>&1 || status=$?
	echo "status $status,$(sed -n 's/^Address: \(192.*\)/ \1/p' "$folder/printed"), asked: $(asked | awk '{print $1}' | sort -u | xargs)"
}
seen 'a name in the first domain of three' "$(nslookup web)" 'status 1, 192.0.2.1, asked: web.a.test. web.b.test. web.c.test.'
seen 'a name with a dot, of two below a domain of the list' "$(nslookup web.a)" 'status 1,, asked: web.a.'
