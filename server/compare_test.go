package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare compares a server with itself, with another, and with one that is away.
func TestCompare(t *testing.T) {
	serve := func(hosts string) string {
		r := launch(t, ".:0 {\n bind 127.0.0.1\n hosts {\n  "+hosts+"\n ttl 1\n }\n}\n")
		return r.listeners[anyPort].Address().String()
	}
	one, other := serve("10.0.0.1 a.test"), serve("10.0.0.2 a.test")
	log := filepath.Join(t.TempDir(), "log")
	line := `[INFO] 10.244.0.7:49450 - 24343 "A IN a.test. udp 77 false 1232" NOERROR qr,aa,rd 81 0.0001s` + "\n"
	if err := os.WriteFile(log, []byte(line+line+"[INFO] something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arguments, in string
		status        int
		want          string // on both outputs
	}{
		{"-a " + one + " -b " + one, "a.test\na.test AAAA\n", 0, "      2  same\n"},
		{"-a " + one + " -b " + other + " -once", "a.test\n", 1, "    a  NOERROR A 10.0.0.1\n    b  NOERROR A 10.0.0.2\n"},
		{"-a " + one + " -b " + other + " -from-log " + log + " -once -o json", "", 1, "2 questions, 1 different ones\n"},
		{"-a " + one + " -b " + one + " -from-log -", line, 0, "      1  questions\n"},
		{"-a 127.0.0.1:1 -b " + one + " -once -timeout 50ms", "a.test\n", 2, "      1  without an answer of a\n"},
		{"-a " + one + " -b " + one, "\n", 2, "clusterdns compare: no question was read (0 lines have none)\n"},
		{"-b " + one, "", 2, "-a: needs the address of a server, such as 10.96.0.10\n"},
		{"-a " + one + " -b dns.example", "", 2, "-b: \"dns.example\" is no IP address, with or without a port\n"},
		{"-a " + one + " -b " + one + " -from-log " + log + " -from-cluster", "", 2, "-from-log and -from-cluster: give one of them\n"},
		{"-a " + one + " -b " + one + " -from-log nothere", "", 2, "-from-log: open nothere: no such file or directory\n"},
		{"-a " + one + " -b " + one + " -rate 0", "", 2, "-rate: wants a number from 1 to 100000\n"},
		{"-a " + one + " -c", "", 2, "flag provided but not defined: -c; clusterdns compare -h lists the flags\n"},
		{"-h", "", 0, "Usage: clusterdns compare -a ADDRESS -b ADDRESS\n"},
	} {
		var out bytes.Buffer
		status := Main(append([]string{"clusterdns", "compare"}, strings.Fields(c.arguments)...), strings.NewReader(c.in), &out, &out)
		if status != c.status || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: status %d, want %d and %q:\n%s", c.arguments, status, c.status, c.want, &out)
		}
	}
}

// TestCompareCluster asks for the names of a cluster, here those that every cluster has.
func TestCompareCluster(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(oldAPI))
	defer api.Close()
	defer api.CloseClientConnections()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: '%s'}}]\n", api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := launch(t, ".:0 {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	address := r.listeners[anyPort].Address().String()
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	status := Main([]string{"clusterdns", "compare", "-a", address, "-b", address, "-from-cluster", "-kubeconfig", kubeconfig},
		nil, &out, &out)
	if status != 0 || !strings.Contains(out.String(), "      3  questions\n      3  same\n") {
		t.Errorf("status %d\n%s", status, &out)
	}
}
