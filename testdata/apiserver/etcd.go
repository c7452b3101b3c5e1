package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// Both URLs name sockets in the current directory, etcd:0 and peer:0 (etcd
// wants what looks like a port). Nothing of etcd listens on a real port, so
// none can be taken by another process between a kill and the next start.
const (
	etcdURL = "unix://etcd:0"
	peerURL = "unix://peer:0"
)

// runEtcd runs etcd alone, with its JSON gateway, until a signal.
func runEtcd(args []string) error {
	flags := newFlags("etcd")
	dir := flags.String("dir", "", "directory of the data, which is made")
	listen := flags.String("listen", "http://127.0.0.1:0", "URL to serve clients at")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	if err := os.Chdir(*dir); err != nil { // the peer's socket is there
		return err
	}
	stop, err := startEtcd(etcdDir, *listen, true)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println("ready", *listen)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM, unix.SIGINT)
	<-ended
	return nil
}

// startEtcd starts a cluster of one member with its data in dir.
func startEtcd(dir, listen string, gateway bool) (stop func(), err error) {
	client, err := url.Parse(listen)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(peerURL)
	if err != nil {
		return nil, err
	}

	config := embed.NewConfig()
	config.Dir = dir
	setAddresses(config, *client, *peer)
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.EnableGRPCGateway = gateway
	config.LogLevel = "warn"
	config.LogOutputs = []string{"stderr"}
	// A write is handed to the kernel before it is acknowledged, so it
	// survives a kill; only a crash of the machine would lose it. Waiting for
	// the disk would put its latency into every measurement.
	config.UnsafeNoFsync = true
	// The member elects itself: waiting the usual second would be a third of
	// the start.
	config.TickMs, config.ElectionMs = 10, 100

	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return server.Close, nil
	case err := <-server.Err():
		server.Close()
		return nil, fmt.Errorf("etcd: %w", err)
	case <-time.After(time.Minute):
		server.Close()
		return nil, errors.New("etcd: not ready after a minute")
	}
}
