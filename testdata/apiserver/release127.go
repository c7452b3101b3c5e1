//go:build kubernetes127

package main

import (
	"net/url"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
)

// setAddresses says where etcd 3.5 listens.
func setAddresses(config *embed.Config, client, peer url.URL) {
	config.LCUrls, config.ACUrls = []url.URL{client}, []url.URL{client}
	config.LPUrls, config.APUrls = []url.URL{peer}, []url.URL{peer}
}

// controllerName is what Kubernetes calls a controller before 1.28.
func controllerName(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(name, "-controller"), "-", "")
}
