#!/usr/bin/env bash
# REFUSED in a search list: glibc 2.36 leaves out the rest of the list, Go 1.26 asks for all of it twice, and musl 1.2.3
# waits 5 s for another reply.
#
# None of the three takes REFUSED for an answer. glibc asks the same server once more, then for the name as it is, and fails.
# Go does so in each domain of the list: 16 questions for a list of three. musl throws the reply away and waits until its
# time is over, as if the server were silent, and does not go on with the list. A rule that refuses names inside a cluster's
# search list, such as an access list, does not fail quickly for all clients; NXDOMAIN does.
#
# Needs Debian 12's libc6 (2.36) and musl-tools (1.2.3-1), gcc, Go 1.26, the Go module proxy, dig, and root. Seen: the
# questions, and the seconds of musl.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants glibc 2.36 "$(ldd --version | sed -n '1s/.* //p')"
wants musl 1.2.3-1 "$(installed musl)"
wants Go 1.26 "$(go version | grep -o '[0-9]\.[0-9]*' | head -1)"
upstream 53 <<'GO'
			m.Rcode = dns.RcodeRefused
GO
names() { asked | awk '{print $1}' | sort | uniq -c | awk '{print $1, $2}' | xargs; }
client gcc
forget
seen glibc "$(ask web)" 'Temporary failure in name resolution'
seen 'questions of glibc' "$(names)" '4 web. 4 web.a.test.'
client musl-gcc -static
forget
began=$SECONDS
seen musl "$(ask web)" 'Try again'
seen 'questions of musl' "$(names)" '4 web.a.test.'
seen 'musl waits' "$((SECONDS - began >= 5))" 1
mkdir -p "$folder/go"
cat >"$folder/go/main.go" <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	_, err := net.LookupHost(os.Args[1])
	fmt.Println(err)
}
GO
(cd "$folder/go" && CGO_ENABLED=0 go build -o ../lookup main.go)
forget
seen Go "$("$folder/lookup" web)" 'lookup web on 127.0.0.1:53: server misbehaving'
seen 'questions of Go' "$(names)" '4 web. 4 web.a.test. 4 web.b.test. 4 web.c.test.'
