// Package cluster is the sample cluster of `clusterdns demo`: a Corefile, and manifests of the textbook cases, one a file.
package cluster

import "embed"

// Files are the sample cluster, for a program that was installed without its checkout.
//
//go:embed Corefile *.yaml
var Files embed.FS
