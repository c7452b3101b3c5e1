#!/usr/bin/env bash
# Go 1.26, http.Server.Shutdown: a request that comes on a new connection after Shutdown has begun is read whole, and then
# its connection is closed without a reply.
#
# Shutdown waits for such a connection, up to five seconds, as for one with a request under way, so it seems that the request
# will be answered. The client gets EOF, and as nothing was answered on that connection before, Go's own client does not
# repeat even a GET. Connections that nobody has accepted yet are reset. So where one server takes a port over from another
# (SO_REUSEPORT), a health check fails now and then, unless whoever ends the old one first stops accepting, waits until each
# connection has had its first reply (Server.ConnState), and calls Shutdown only then.
#
# Needs Go 1.26. Seen: what clients of a connection get that was accepted before Shutdown began.
set -euo pipefail
source "$(dirname "$0")/seen.bash"
wants Go 1.26 "$(go version | grep -o '[0-9]\.[0-9]*' | head -1)"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

func main() {
	accepted, ending, asked := make(chan bool), make(chan bool), make(chan bool, 1)
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked <- true }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				close(accepted)
			}
		},
	}
	server.RegisterOnShutdown(func() { close(ending) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go server.Serve(listener)
	ended := make(chan error)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, to)
		<-accepted
		go func() { ended <- server.Shutdown(context.Background()) }()
		<-ending
		return conn, err // the request is sent now
	}}}
	_, err = client.Get("http://" + listener.Addr().String())
	for inner, ok := err.(interface{ Unwrap() error }); ok; inner, ok = err.(interface{ Unwrap() error }) {
		err = inner.Unwrap()
	}
	fmt.Printf("the client: %v (EOF: %t), asked the handler: %d, Shutdown: %v\n", err, err == io.EOF, len(asked), <-ended)
}
GO
seen 'a request after Shutdown began' "$(go run "$folder/main.go")" \
	'the client: EOF (EOF: true), asked the handler: 0, Shutdown: <nil>'
