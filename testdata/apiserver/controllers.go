package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// controllers are those whose work is visible in DNS. The others would only
// add noise, or undo what a test wrote: there are no nodes, and the garbage
// collector would take pods of nodes that do not exist.
var controllers = []string{"endpointslice-controller", "endpointslice-mirroring-controller"}

// runControllers runs the controllers until a signal.
func runControllers(args []string) error {
	flags := newFlags("apiserver controllers")
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	log := flags.String("log", os.DevNull, "file that the log is appended to")
	more := flags.String("more", "", "further controllers to run, separated by commas")
	if err := parse(flags, args, "kubeconfig"); err != nil {
		return err
	}
	if _, err := os.Stat(*kubeconfig); err != nil {
		return err
	}
	names := slices.Clone(controllers)
	if *more != "" {
		names = append(names, strings.Split(*more, ",")...)
	}
	for i, name := range names {
		names[i] = controllerName(name)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listener.Close()
	address := listener.Addr().(*net.TCPAddr)
	if err := logTo(filepath.Clean(*log)); err != nil {
		return err
	}

	go announceControllers(address, names)
	command := app.NewControllerManagerCommand()
	command.SetArgs([]string{
		"--kubeconfig=" + *kubeconfig,
		"--controllers=" + strings.Join(names, ","),
		"--leader-elect=false",
		"--bind-address=" + address.IP.String(),
		fmt.Sprintf("--secure-port=%d", address.Port),
		// The clients are not what a test measures.
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
	})
	return cli.RunNoErrOutput(command)
}

// announceControllers prints the ready line once every controller runs. Each
// is listed in /healthz from when it is built, which is after the API server
// was found.
func announceControllers(address *net.TCPAddr, names []string) {
	// The manager makes itself a certificate at every start. Nothing secret
	// is asked.
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	url := fmt.Sprintf("https://%s/healthz?verbose", address)
	for {
		body, err := get(client, url, "")
		if err == nil && allHealthy(body, names) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	client.CloseIdleConnections()
	fmt.Println("ready")
}

// allHealthy reports whether a verbose /healthz lists all names.
func allHealthy(body string, names []string) bool {
	for _, name := range names {
		if !strings.Contains(body, "[+]"+name+" ok") {
			return false
		}
	}
	return true
}
