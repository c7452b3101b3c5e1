#!/usr/bin/env bash
# Go 1.26, net.Resolver: "no AAAA records" of a server that sets neither AA nor RA is no answer, and is asked for again.
#
# NOERROR without records, AA, RA and additional records is taken for a referral of a server that does not know, "lame
# referral": the question is sent twice, and if no other type has addresses the lookup fails with an error that is neither
# "not found" nor temporary. An OPT record counts as an additional record, so a server that answers EDNS is
# spared. Who takes RA out of replies, as a server without recursion does, has to set AA (RFC 1035 section 4.1.1).
#
# Needs Go 1.26, the Go module proxy, dig, and root. Seen: errors and questions, with AA and without.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants Go 1.26 "$(go version | grep -o '[0-9]\.[0-9]*' | head -1)"
upstream 53 <<'GO'
			m.RecursionAvailable, m.Authoritative = false, is("own")
			deny()
GO
mkdir -p "$folder/go"
cat >"$folder/go/main.go" <<'GO'
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
)

func main() {
	_, err := net.LookupHost(os.Args[1])
	var failed *net.DNSError
	errors.As(err, &failed)
	fmt.Println(failed.Err, "temporary:", failed.IsTemporary, "not found:", failed.IsNotFound)
}
GO
(cd "$folder/go" && CGO_ENABLED=0 go build -o ../lookup main.go)
forget
seen 'with AA' "$("$folder/lookup" own.test.)" 'no such host temporary: false not found: true'
seen questions "$(questions)" 2
forget
seen 'without AA and RA' "$("$folder/lookup" other.test.)" 'lame referral temporary: false not found: false'
seen questions "$(questions)" 4
