#!/usr/bin/env bash
# glibc 2.36: one lookup of a name with 200 addresses is 16 questions.
#
# getaddrinfo gives its module for DNS a buffer for the result. Where that is too small it makes one of twice the size and
# calls again, and the module keeps nothing: each time it asks for A and AAAA anew, over UDP, is told to come back over TCP
# (TC), and does. So each lookup of a headless Service with 20 addresses is 2 questions, with 40 addresses 8, with 200 four
# times A and AAAA over UDP and four times over TCP.
#
# Needs Debian 12's libc6 (2.36), gcc, Go, the Go module proxy, dig, and root. Seen: how many questions a lookup takes.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants glibc 2.36 "$(ldd --version | sed -n '1s/.* //p')"
upstream 53 <<'GO'
			if q.Qtype == dns.TypeA {
				count := 0
				fmt.Sscanf(name, "of-%d.", &count)
				for i := range count {
					add(fmt.Sprintf("A 192.0.2.%d", i))
				}
			} else {
				deny()
			}
GO
client gcc
for of in 20:2 40:8 60:12 200:16; do
	forget
	ask "of-${of%:*}.test." >/dev/null
	seen "questions for ${of%:*} addresses" "$(questions)" "${of#*:}"
done
