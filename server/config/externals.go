package config

// externals is plugins that others have written for CoreDNS, of CoreDNS's page of them and of Corefiles in public
// repositories, and what serves the same purpose here; zero for nothing.
func externals() map[string]substitute {
	upstreams := substitute{"forward, whose " +
		"next says after which rcodes the next forward of the block is asked, and whose " +
		"failover after which the next upstream is", "forward . 192.0.2.1 192.0.2.2 {\nfailover SERVFAIL REFUSED\n" +
		"next NXDOMAIN\n}\nforward . 192.0.2.3"}
	zones := substitute{"file, auto or secondary, from a name server that has the data",
		"secondary example.org {\ntransfer from 192.0.2.1\n}"}
	filter := substitute{"forward to a resolver that filters, or template with rcode NXDOMAIN for single domains",
		"template ANY ANY ads.example {\nrcode NXDOMAIN\n}\nforward . 192.0.2.1"}
	bounds := substitute{"nothing: what one client can take is bounded without it; acl says who may ask",
		"acl {\nallow net 10.0.0.0/8\nblock\n}"}
	none := substitute{}
	return map[string]substitute{
		"ads":       filter,
		"alias":     {"nothing: aliases are followed", ""},
		"alternate": upstreams,
		"amazondns": {"forward to the VPC's resolver, 169.254.169.253", "forward . 169.254.169.253"},
		"blocklist": filter,
		"crossdns":  upstreams,
		"datahub":   none,
		"dnsfilter": filter,
		"dnsredir":  upstreams,
		"docker":    none,
		"dynapi": {"secondary of a name server that takes updates",
			"secondary example.org {\ntransfer from 192.0.2.1\n}"},
		"ens":        none,
		"fanout":     upstreams,
		"filterlist": filter,
		"finalize":   {"nothing: aliases are followed", ""},
		"gathersrv":  none,
		"git": {"auto, with a container beside it that pulls the repository",
			"auto {\ndirectory /zones db[.](.*) {1}\n}"},
		"gslb": {"view, with hosts or template for each group of clients",
			"view near {\nexpr incidr(client_ip(), '192.0.2.0/24')\n}\nhosts {\n198.51.100.1 www.example.org\n" +
				"fallthrough\n}"},
		"idetcd": {"etcd", "etcd example.org"},
		"ipecho": {"template, with a match that has the address in it",
			"template IN A ip.example {\n" +
				"match \"^(?P<address>[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+)[.]ip[.]example[.]$\"\n" +
				"answer \"{{ .Name }} 60 IN A {{ .Group.address }}\"\n}"},
		"json":      none,
		"k8s_cache": {"cache: names of the cluster need none", "kubernetes cluster.local\ncache 30"},
		"k8s_crd":   {"hosts with a ConfigMap", "hosts /etc/coredns/NodeHosts {\nfallthrough\n}"},
		"k8s_dns_chaos": {"template with rcode SERVFAIL, for the names that are to fail",
			"template ANY ANY broken.example {\nrcode SERVFAIL\n}"},
		"k8s_event": {"the log and the metrics", "log\nprometheus :9153"},
		"kubeforward": {"forward to the name of the service, which is looked up again by its TTL",
			"forward . upstream.kube-system.svc.cluster.local {\nresolver 10.96.0.10\n}"},
		"kubenodes": {"hosts with a file of the nodes", "hosts /etc/coredns/NodeHosts {\nfallthrough\n}"},
		"kubernetai": {"kubernetes: a block may have several",
			"kubernetes cluster.local {\nfallthrough\n}\nkubernetes other.local {\nkubeconfig kubeconfig\n}"},
		"lighthouse": {"kubernetes with multicluster",
			"kubernetes cluster.local clusterset.local {\nmulticluster clusterset.local\n}"},
		"lrucache": {"cache", "cache 30"},
		"mdns":     {"forward to a server that asks by multicast", "forward local 192.0.2.1:5353"},
		"meship":   none,
		"meshname": none,
		"multicluster": {"kubernetes with multicluster",
			"kubernetes cluster.local clusterset.local {\nmulticluster clusterset.local\n}"},
		"mysql":               zones,
		"netbox":              zones,
		"nodecache":           {"bind with the address of the node", "bind 169.254.20.10"},
		"ocp_dnsnameresolver": none,
		"pdsql":               zones,
		"ratelimit":           bounds,
		"records":             {"file, or template for single names", "file db.example.org example.org"},
		"recursor":            {"forward to a resolver", "forward . 192.0.2.1"},
		"redis":               zones,
		"redis_cache":         {"cache", "cache 30"},
		"redisc":              {"cache", "cache 30"},
		"refuseany":           {"any", "any"},
		"rrl":                 bounds,
		"split":               {"view", "view inside {\nexpr incidr(client_ip(), '10.0.0.0/8')\n}"},
		"tailscale":           {"forward of its zone to 100.100.100.100", "forward tailnet.ts.net 100.100.100.100"},
		"unbound":             {"forward to a resolver, such as Unbound beside it", "forward . 192.0.2.1"},
		"vcluster": {"rewrite with name regex and answer auto",
			"rewrite name regex (.*)[.](.*)[.]svc[.]cluster[.]local {1}-x-{2}-x-vcluster.host.svc.cluster.local answer auto"},
		"warnlist": {"log", "log ads.example \"{remote} {name}\""},
		"wgsd":     none,
	}
}
