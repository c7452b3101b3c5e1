package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/cluster"
)

// demoPort is where the demo listens: above 1023, so that it needs no privilege, and not a port of mDNS or local
// resolvers.
const demoPort = "1053"

// worthTrying are the questions that the demo proposes, with what each shows.
var worthTrying = []struct{ question, shows string }{
	{"datarc-test.datarc.svc.cluster.local", "a ClusterIP service"},
	{"_http._tcp.datarc-test.datarc.svc.cluster.local SRV", "its named port"},
	{"datarc-test.datarc.svc.cluster.local AAAA", "no IPv6: NODATA, and the reason"},
	{"-x 10.96.0.10", "whose address is this?"},
	{"datarc-db-0.datarc-db.datarc.svc.cluster.local", "one pod of a headless StatefulSet"},
	{"datarc-db.datarc.svc.cluster.local", "all its pods"},
	{"example.datarc.svc.cluster.local", "an ExternalName, chased"},
	{"mysql-external.datarc.svc.cluster.local", "a service with Endpoints written by hand"},
	{"nothing-ready.datarc.svc.cluster.local", "why is there no answer?"},
	{"+tcp dual-stack.datarc.svc.cluster.local AAAA", "over TCP, IPv6"},
	{"no-such-service.datarc.svc.cluster.local", "NXDOMAIN, with the reason"},
}

// demo serves a sample cluster until it is interrupted.
func (c *console) demo(arguments []string) error {
	flags := flag.NewFlagSet("clusterdns demo", flag.ContinueOnError)
	written := flags.String("p", demoPort, "port")
	manifests := flags.String("f", "", "folder of manifests")
	if err := parseFlags(flags, arguments); err != nil {
		return err
	}
	port, err := strconv.ParseUint(*written, 10, 16)
	if err != nil {
		return fmt.Errorf("-p: got %q, wants a port from 0 to 65535", *written)
	}
	if info, err := os.Stat(*manifests); *manifests != "" && (err != nil || !info.IsDir()) {
		return fmt.Errorf("-f: %s is no folder", *manifests)
	}
	fmt.Fprintln(c.out, "clusterdns demo: DNS for a cluster that needs no Kubernetes. It begins ...")
	folder, remove, err := demoFolder(*manifests)
	if err != nil {
		return err
	}
	defer remove()
	load := func() (*config.Config, error) {
		c, err := config.Load(config.Settings{Conf: filepath.Join(folder, "Corefile"), Port: uint16(port)}, nil)
		if err == nil {
			c.Dashboard.Addresses = []string{dashboardBeside(uint16(port))}
		}
		return c, err
	}
	loaded, err := load()
	if err != nil {
		return err
	}
	err = c.run(loaded, load, func(p *Program) { c.propose(p, cmp.Or(*manifests, folder), *manifests == "") })
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; clusterdns demo -p PORT takes another", err)
	}
	return err
}

// dashboardBeside is the address of the page of a demo: the next port, where there is one.
func dashboardBeside(port uint16) string {
	if port > 0 {
		port++
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
}

// demoFolder is a copy of the sample cluster, which can be edited, or of its Corefile alone for manifests of the user's.
func demoFolder(manifests string) (folder string, remove func(), err error) {
	if folder, err = os.MkdirTemp("", "clusterdns-demo-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(folder) }
	if manifests == "" {
		err = os.CopyFS(folder, cluster.Files)
	} else {
		err = demoCorefile(folder, manifests)
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return folder, remove, nil
}

// demoCorefile writes the Corefile of the sample cluster for another folder of manifests.
func demoCorefile(folder, manifests string) error {
	manifests, err := filepath.Abs(manifests)
	if err != nil {
		return err
	}
	text, err := cluster.Files.ReadFile("Corefile")
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("manifests .\n"), []byte("manifests "+strconv.Quote(manifests)+"\n"), 1)
	return os.WriteFile(filepath.Join(folder, "Corefile"), text, 0o600)
}

// propose prints what is served and the questions worth trying.
func (c *console) propose(p *Program, folder string, sample bool) {
	if err := p.Synced(context.Background()); err != nil {
		return
	}
	address := p.Addresses()[0]
	fmt.Fprintf(c.out, "\nServing the manifests in %s on %s, UDP and TCP. Edit a file there and ask again.\n"+
		"Its page is at http://%s/\n", folder, address, p.dashboardAddress())
	if sample {
		fmt.Fprint(c.out, "\nWorth trying, in another terminal (dig warns that .local is for Multicast DNS: that is harmless here):\n\n")
		for _, t := range worthTrying {
			fmt.Fprintf(c.out, "  dig @%s -p %d %-56s # %s\n", address.Addr(), address.Port(), t.question, t.shows)
		}
	}
	fmt.Fprint(c.out, "\nQueries, as they come (interrupt to end):\n")
}
