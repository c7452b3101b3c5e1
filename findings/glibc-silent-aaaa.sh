#!/usr/bin/env bash
# glibc 2.36: where AAAA questions get no reply, an address of IPv4 that came at once is returned after 15 s, not 10.
#
# The documented wait is `timeout` (5 s) for each of `attempts` (2). getaddrinfo asks for A and AAAA at once; while one
# reply is missing it sends both again after 5 s, then takes it for a server that cannot have two questions at a time, and
# sends them a third time, one by one. Who drops a type of question, by a firewall or by a rule, therefore costs each
# connection 15 s and the server six queries; NOERROR without records costs nothing.
#
# Needs Debian 12's libc6 (2.36), gcc, Go, the Go module proxy, dig, and root. Seen: the address, questions and seconds.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants glibc 2.36 "$(ldd --version | sed -n '1s/.* //p')"
upstream 53 <<'GO'
			if q.Qtype != dns.TypeA {
				return
			}
			add("A 192.0.2.1")
GO
client gcc
forget
began=$SECONDS
seen address "$(ask silent.test.)" 192.0.2.1
waited=$((SECONDS - began))
seen questions "$(asked | sort | uniq -c | awk '{print $1, $3}' | xargs)" '3 A 3 AAAA'
seen 'seconds, in fives' "$((waited / 5 * 5))" 15
