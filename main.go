// Command clusterdns is a DNS server that knows a Kubernetes cluster: it answers for the cluster domain from Services
// and EndpointSlices, and forwards everything else. See README.md.
package main

import (
	"os"

	"github.com/clusterdns/clusterdns/server"
)

func main() { os.Exit(server.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
