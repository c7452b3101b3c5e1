#!/usr/bin/env bash
# Node.js 20.20, dns.resolve4: leaves the search list out, and gives an empty list and no error for an alias without addresses.
#
# dns.lookup calls getaddrinfo; dns.resolve4 and its promises ask with c-ares, and ask for the name as it is, once, whatever
# /etc/resolv.conf says of `search` and `ndots`. And where a name has a CNAME record but what it leads to has no address, as
# with an ExternalName whose target does not exist yet, the error is null and the list is empty: addresses[0] is undefined.
# dns.lookup fails there with ENOTFOUND, and resolve4 of a name without any record with ENODATA.
#
# Needs the npm registry, Go, the Go module proxy, dig, and root. Seen: what the program gets.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
if [ ! -e "$folder/node_modules" ]; then
	npm install --silent --prefix "$folder" node@20.20.2 >"$folder/install" 2>&1 || { cat "$folder/install"; exit 1; }
fi
upstream 53 <<'GO'
			switch {
			case name == "web.a.test." && q.Qtype == dns.TypeA:
				add("A 192.0.2.1")
			case is("alias"):
				add("CNAME gone.test.")
			case is("nodata"), name == "web.a.test.":
				deny()
			default:
				m.Rcode = dns.RcodeNameError
				deny()
			}
GO
node() { "$folder/node_modules/.bin/node" -e "require('dns').$1('$2', (e, a) => console.log(e ? e.code : JSON.stringify(a)))"; }
seen 'lookup web' "$(node lookup web)" '"192.0.2.1"'
seen 'resolve4 web' "$(node resolve4 web)" ENOTFOUND
seen 'lookup alias.test.' "$(node lookup alias.test.)" ENOTFOUND
seen 'resolve4 alias.test.' "$(node resolve4 alias.test.)" '[]'
seen 'resolve4 nodata.test.' "$(node resolve4 nodata.test.)" ENODATA
