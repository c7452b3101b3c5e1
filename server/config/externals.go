package config

// externals is plugins that others have written for CoreDNS, of CoreDNS's page of them and of Corefiles in public
// repositories, and what serves the same purpose here; "" for nothing.
func externals() map[string]string {
	const (
		upstreams = "forward, whose next says after which rcodes the next forward of the block is asked, and whose failover " +
			"after which the next upstream is"
		zones  = "file, auto or secondary, from a name server that has the data"
		filter = "forward to a resolver that filters, or template with rcode NXDOMAIN for single domains"
		bounds = "nothing: what one client can take is bounded without it; acl says who may ask"
	)
	return map[string]string{
		"ads":                 filter,
		"alias":               "nothing: aliases are followed",
		"alternate":           upstreams,
		"amazondns":           "forward to the VPC's resolver, 169.254.169.253",
		"blocklist":           filter,
		"crossdns":            upstreams,
		"datahub":             "",
		"dnsfilter":           filter,
		"dnsredir":            upstreams,
		"docker":              "",
		"dynapi":              "secondary of a name server that takes updates",
		"ens":                 "",
		"fanout":              upstreams,
		"filterlist":          filter,
		"finalize":            "nothing: aliases are followed",
		"gathersrv":           "",
		"git":                 "auto, with a container beside it that pulls the repository",
		"gslb":                "view, with hosts or template for each group of clients",
		"idetcd":              "etcd",
		"ipecho":              "template, with a match that has the address in it",
		"json":                "",
		"k8s_cache":           "cache: names of the cluster need none",
		"k8s_crd":             "hosts with a ConfigMap",
		"k8s_dns_chaos":       "template with rcode SERVFAIL, for the names that are to fail",
		"k8s_event":           "the log and the metrics",
		"kubeforward":         "forward to the name of the service, which is looked up again by its TTL",
		"kubenodes":           "hosts with a file of the nodes",
		"kubernetai":          "kubernetes: a block may have several",
		"lighthouse":          "kubernetes with multicluster",
		"lrucache":            "cache",
		"mdns":                "forward to a server that asks by multicast",
		"meship":              "",
		"meshname":            "",
		"multicluster":        "kubernetes with multicluster",
		"mysql":               zones,
		"netbox":              zones,
		"nodecache":           "bind with the address of the node",
		"ocp_dnsnameresolver": "",
		"pdsql":               zones,
		"ratelimit":           bounds,
		"records":             "file, or template for single names",
		"recursor":            "forward to a resolver",
		"redis":               zones,
		"redis_cache":         "cache",
		"redisc":              "cache",
		"refuseany":           "any",
		"rrl":                 bounds,
		"split":               "view",
		"tailscale":           "forward of its zone to 100.100.100.100",
		"unbound":             "forward to a resolver, such as Unbound beside it",
		"vcluster":            "rewrite with name regex and answer auto",
		"warnlist":            "log",
		"wgsd":                "",
	}
}
