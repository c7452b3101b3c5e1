//go:build !kubernetes127

package main

import (
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// setAddresses says where etcd listens.
func setAddresses(config *embed.Config, client, peer url.URL) {
	config.ListenClientUrls = []url.URL{client}
	config.AdvertiseClientUrls = []url.URL{client}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	// Only etcd's own command sets this; zero means that every request is slow
	// and gets a line.
	config.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
}

// controllerName is what the release calls a controller.
func controllerName(name string) string { return name }
