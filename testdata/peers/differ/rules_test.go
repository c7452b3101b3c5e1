package differ

// A rule is one difference between the two servers that is meant to be.
type rule struct {
	name   string
	reason string
	see    string // sections of specifications; item N is of the README's list
	story  string // file below testdata/stories that shows it

	// explains reports whether the rule is about this difference, and if so
	// changes theirs to what it would have been without it. What it does not
	// change is compared.
	explains func(q *question, ours, theirs *reply) bool
}

// rules are asked in this order: what the answer is, then how it is said, then
// how much of it fits.
var rules = []rule{
	{
		name:     "only class IN",
		reason:   "classes other than IN are refused; CoreDNS, with `forward`, answers all classes as if they were IN",
		see:      "RFC 1035 section 3.2.4, item 12",
		story:    "differences/12-wrong-messages.txtar",
		explains: classes,
	},
	{
		name:     "transfers stay here",
		reason:   "a zone transfer is between this server and its secondaries: it is refused, not forwarded",
		see:      "RFC 5936 section 2, item 12",
		story:    "differences/12-wrong-messages.txtar",
		explains: transfers,
	},
	{
		name:     "mixed case",
		reason:   "the apex and `ns.dns` answer in any case as they do in lower case",
		see:      "RFC 4343 section 3, item 3",
		story:    "differences/03-mixed-case.txtar",
		explains: mixedCase,
	},
	{
		name:     "names inside records are lower case",
		reason:   "only the owner has the case of the query; CoreDNS copies it into MNAME, RNAME, targets and their addresses",
		see:      "RFC 4343 section 4.1, item 3",
		story:    "differences/03-mixed-case.txtar",
		explains: innerCase,
	},
	{
		name:     "external name",
		reason:   "an alias is answered to every type, with whatever its target has; CoreDNS says NODATA unless there is an address",
		see:      "RFC 1034 section 3.6.2, RFC 6604 section 3, item 6",
		story:    "differences/06-external-name.txtar",
		explains: alias,
	},
	{
		name:     "external names in a loop",
		reason:   "a loop of aliases, or more than 10 of them, is SERVFAIL with the aliases found; CoreDNS says NODATA",
		see:      "RFC 1034 section 3.6.2, item 6",
		story:    "rfc/rfc1034-aliases.txtar",
		explains: loop,
	},
	{
		name:     "at most 10 aliases",
		reason:   "an 11th alias is not followed, in the zone as elsewhere; CoreDNS follows 11",
		see:      "RFC 1034 section 3.6.2, item 6",
		story:    "rfc/rfc1034-aliases.txtar",
		explains: eleventh,
	},
	{
		name:     "no wildcards",
		reason:   "a label `_` is a label; CoreDNS takes an underscore alone for any port or any protocol",
		see:      "Kubernetes DNS 2.3.2",
		story:    "coredns/wildcards.txtar",
		explains: wildcard,
	},
	{
		name:     "a port's name has room for its underscore",
		reason:   "a port whose name has 63 octets has no SRV name, since `_` makes it too long for a label; CoreDNS answers it without the underscore",
		see:      "Kubernetes DNS 2.3.2, RFC 1035 section 2.3.4",
		story:    "coredns/srv-optional-underscores.txtar",
		explains: longPort,
	},
	{
		name:     "nothing is below a pod",
		reason:   "the name of a pod has no names below it; CoreDNS answers any two labels before it",
		see:      "Kubernetes DNS 2.6",
		story:    "spec/2.6-pod-addresses.txtar",
		explains: belowPod,
	},
	{
		name:     "pods have no ports",
		reason:   "the name of a pod has an address and no SRV record; CoreDNS makes one with port 0",
		see:      "Kubernetes DNS 2.6",
		story:    "spec/2.6-pod-addresses.txtar",
		explains: podPort,
	},
	{
		name:     "a pod's name has dashes",
		reason:   "an address with colons is not a name of a pod; CoreDNS takes it too",
		see:      "Kubernetes DNS 2.6",
		story:    "spec/2.6-pod-addresses.txtar",
		explains: podColons,
	},
	{
		name:     "pod names are labels",
		reason:   "with `endpoint_pod_names`, a pod whose name has dots gives its endpoint no name: the address does; CoreDNS makes names that it does not answer",
		see:      "Kubernetes DNS 2.4.1",
		story:    "coredns/endpoint-pod-names.txtar",
		explains: dottedPod,
	},
	{
		name:     "ANY gets one rrset",
		reason:   "a query for ANY gets one of the rrsets that there are; CoreDNS says NODATA, or NXDOMAIN in reverse zones",
		see:      "RFC 8482 section 4.1",
		story:    "rfc/rfc8482-any.txtar",
		explains: anything,
	},
	{
		name:     "empty non-terminal",
		reason:   "a name with names below it exists: NODATA",
		see:      "RFC 8020 section 2, item 1",
		story:    "differences/01-empty-non-terminals.txtar",
		explains: emptyNonTerminal,
	},
	{
		name:     "own names exist",
		reason:   "`dns-version` and `ns.dns` are NODATA for types that they do not have",
		see:      "RFC 2308 section 2.2, item 2",
		story:    "differences/02-own-names-exist.txtar",
		explains: ownNames,
	},
	{
		name:     "SOA does not make names",
		reason:   "a name that does not exist is NXDOMAIN for the type SOA too; CoreDNS says NODATA",
		see:      "RFC 8020 section 2",
		story:    "rfc/rfc2308-negative.txtar",
		explains: existenceSOA,
	},
	{
		name:     "TXT does not unmake names",
		reason:   "a name that exists is NODATA for the type TXT too; CoreDNS says NXDOMAIN for names without addresses",
		see:      "RFC 2308 section 2.2",
		story:    "coredns/nodata.txtar",
		explains: existenceTXT,
	},
	{
		name:     "owner of PTR records exists",
		reason:   "a reverse name that has PTR records is NODATA for other types, and is not passed on; CoreDNS says NXDOMAIN",
		see:      "RFC 2308 section 2.2",
		story:    "spec/2.3.3-cluster-ip-reverse.txtar",
		explains: reverseType,
	},
	{
		name:     "reverse zones have reverse names only",
		reason:   "CoreDNS puts `svc`, `pod`, `dns-version` and `ns.dns` below its reverse zones too",
		see:      "Kubernetes DNS 2.3.3",
		story:    "spec/2.3.3-cluster-ip-reverse.txtar",
		explains: reverseForm,
	},
	{
		name:     "reverse names are whole",
		reason:   "a label before a whole reverse name makes another name; CoreDNS passes over some",
		see:      "RFC 3596 section 2.5",
		story:    "spec/2.3.3-cluster-ip-reverse.txtar",
		explains: reverseLonger,
	},
	{
		name:     "name servers exist",
		reason:   "the name server of a reverse zone has its name in the cluster zone; CoreDNS names it below the reverse zone, where nothing but addresses is",
		see:      "RFC 1034 section 4.2.2",
		story:    "coredns/ns-cluster-ip.txtar",
		explains: reverseServers,
	},
	{
		name:     "no record twice",
		reason:   "an rrset has each record once; CoreDNS repeats the addresses of name servers",
		see:      "RFC 2181 section 5",
		story:    "coredns/ns-cluster-ip.txtar",
		explains: twice,
	},
	{
		name:     "namespace_labels hides reverse names",
		reason:   "what a namespace hides has no PTR records, and is no name server; CoreDNS hides the names and still points at them",
		see:      "item 7",
		story:    "differences/07-namespace-labels.txtar",
		explains: hiddenNamespace,
	},
	{
		name:     "PTR records point at names that exist",
		reason:   "what has no name has no reverse name: slices without a service, and services that `ignore empty_service` hides",
		see:      "Kubernetes DNS 2.4.3",
		story:    "spec/2.4.3-headless-reverse.txtar",
		explains: orphans,
	},
	{
		name:     "all addresses of a target",
		reason:   "the additional section has all addresses of an SRV target; CoreDNS leaves out those of endpoints without a port",
		see:      "RFC 2782",
		story:    "spec/2.4.2-headless-srv.txtar",
		explains: glue,
	},
	{
		name:     "serial",
		reason:   "each change has a serial of its own; CoreDNS has the second of the last change",
		see:      "RFC 1982 section 3",
		story:    "rfc/rfc2308-negative.txtar",
		explains: serial,
	},
	{
		name:     "recursion is available",
		reason:   "a block with `forward` offers recursion, and says so in every reply; CoreDNS says so only in what it forwarded",
		see:      "RFC 1035 section 4.1.1, item 4",
		story:    "differences/04-recursion-available.txtar",
		explains: recursion,
	},
	{
		name:     "authority is ours",
		reason:   "AA is set on data of our own zones only; CoreDNS passes on that of the upstream",
		see:      "RFC 1035 section 4.1.1, item 4",
		story:    "differences/04-recursion-available.txtar",
		explains: upstreamAuthority,
	},
	{
		name:     "case of forwarded names",
		reason:   "a query is forwarded in lower case, so that clients of any case share its answer; CoreDNS forwards the client's case",
		see:      "RFC 4343 section 3",
		story:    "rfc/rfc4343-case.txtar",
		explains: forwardedCase,
	},
	{
		name:     "no link-local name server",
		reason:   "an address that only one link knows does not name the server of a zone",
		see:      "RFC 4007 section 6",
		story:    "coredns/ns-none.txtar",
		explains: linkLocal,
	},
	{
		name:     "EDNS of another version",
		reason:   "BADVERS comes with our payload size and the client's DO bit; CoreDNS sends an empty OPT",
		see:      "RFC 6891 section 6.1.3, RFC 3225 section 3",
		story:    "rfc/rfc6891-edns.txtar",
		explains: version,
	},
	{
		name:     "payload size is our own",
		reason:   "the OPT of a reply says what its sender takes, 1232 octets; CoreDNS sends the client's own number back",
		see:      "RFC 6891 section 6.2.3, RFC 9715 section 3, item 10",
		story:    "differences/10-size.txtar",
		explains: payload,
	},
	{
		name:     "absence says why",
		reason:   "what is no answer, or an empty one, says why in an Extended DNS Error",
		see:      "RFC 8914 section 3, item 9",
		story:    "differences/09-extended-errors.txtar",
		explains: extendedError,
	},
	{
		name:     "1232 octets",
		reason:   "replies over UDP have at most 1232 octets, whatever the client offers; above that TC",
		see:      "RFC 9715 section 3, item 10",
		story:    "differences/10-size.txtar",
		explains: cutAt1232,
	},
	{
		name:     "additional data needs no TC",
		reason:   "records of the additional section that do not fit are left out, without TC; CoreDNS sets it",
		see:      "RFC 2181 section 9",
		story:    "rfc/rfc2181-truncation.txtar",
		explains: cutAdditional,
	},
	{
		name:     "cut elsewhere",
		reason:   "both replies have TC, and other records of the same answer fitted: names are compressed differently",
		see:      "RFC 2181 section 9",
		story:    "rfc/rfc2181-truncation.txtar",
		explains: cutElsewhere,
	},
}
