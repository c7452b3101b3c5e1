#!/usr/bin/env bash
# Kubernetes 1.36 (k8s.io/apimachinery v0.36.3): a "DNS-1123 subdomain" may have labels of more than 63 octets.
#
# IsDNS1123Subdomain, which decides about `externalName` of a Service and about names of most objects, holds the whole name to
# 253 octets and its labels to nothing. A label has at most 63 octets (RFC 1035 section 2.3.4), so an ExternalName that the API
# server takes may be no domain name: there is no wire format for it, and a DNS library fails when it packs the answer. Who
# makes records of objects has to check each label himself; IsDNS1123Label does.
#
# Needs Go and the Go module proxy. Seen: what the functions say of www.LABEL.example with a label of 64 octets.
set -euo pipefail
source "$(dirname "$0")/module.bash"
got=$(printed k8s.io/apimachinery@v0.36.3 github.com/miekg/dns@v1.1.73 <<'GO'
package main

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"k8s.io/apimachinery/pkg/util/validation"
)

func main() {
	label := strings.Repeat("a", 64)
	name := "www." + label + ".example"
	fmt.Println("mistakes of the subdomain:", len(validation.IsDNS1123Subdomain(name)))
	fmt.Println("mistakes of the label:", len(validation.IsDNS1123Label(label)))
	_, wire := dns.PackDomainName(dns.Fqdn(name), make([]byte, 256), 0, nil, false)
	fmt.Println("in wire format:", wire)
}
GO
)
seen 'what is said' "$got" 'mistakes of the subdomain: 0
mistakes of the label: 1
in wire format: dns: bad rdata'
