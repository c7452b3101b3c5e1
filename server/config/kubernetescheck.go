package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// What the options of a kubernetes directive are together: those that contradict each other, and what follows from them.

// check finds options that contradict each other.
func (c *kubernetesOptions) check(a *args) {
	o := &c.Objects
	if c.selected && o.NamespaceLabels != "" {
		a.fail("namespaces and namespace_labels exclude each other")
	}
	if o.Manifests != "" && cmp.Or(o.Kubeconfig, o.Endpoint) != "" {
		a.fail("manifests stand in for an API server: give one of manifests, kubeconfig and endpoint")
	}
	if o.Manifests != "" && o.Snapshot.Path != "" {
		c.snapshotAt.fail("is for an API server: manifests are files already")
		a.err = cmp.Or(a.err, c.snapshotAt.err)
	}
	c.checkPeers(a)
	if o.Zonal && o.NoEndpoints {
		a.fail("zonal needs endpoints: remove noendpoints")
	}
	if o.Affinity && o.NoEndpoints {
		a.fail("affinity needs endpoints: remove noendpoints")
	}
	if o.Nearest != zones.NearestUnset && o.NoEndpoints {
		a.fail("nearest needs endpoints: remove noendpoints")
	}
	c.checkCluster(a)
	for _, z := range c.Zones {
		if err := resolver.CheckZone(z); err != nil {
			a.fail("zone %s: %v", z, err)
		}
	}
	for _, z := range c.MultiCluster {
		if !slices.Contains(c.Zones, z) {
			a.fail("multicluster: %s is none of the directive's zones %s", z, strings.Join(c.Zones, " "))
		}
	}
	if o.Kubeconfig != "" && o.Endpoint != "" {
		a.warnf("endpoint is ignored, since kubeconfig is given")
		o.Endpoint = ""
	}
	if o.Endpoint == "" && o.CertFile != "" {
		a.warnf("tls is ignored, since it is for endpoint only")
		o.CertFile, o.KeyFile, o.CAFile = "", "", ""
	}
	if o.CertFile != "" {
		c.tls.checkKeyPair(o.CertFile, o.KeyFile)
		c.tls.checkRoots(o.CAFile)
		a.err, a.others = cmp.Or(a.err, c.tls.err), append(a.others, c.tls.others...)
	}
}

// checkCluster fails where the id of the cluster says nothing.
func (c *kubernetesOptions) checkCluster(d *args) {
	if c.cluster == "" {
		return
	}
	switch a := c.clusterAt; {
	case len(c.MultiCluster) == 0:
		a.fail("is for the names of a clusterset: add multicluster")
	case c.Objects.Nearest == zones.NearestUnset:
		a.fail("says which cluster is the nearest: add nearest, or `nearest off` and the annotation clusterdns.io/nearest to ServiceImports")
	}
	d.err = cmp.Or(d.err, c.clusterAt.err)
}

// noNamespace selects none: a list of empty names, which no namespace has.
const noNamespace = ","

// derive fills what follows from other options. Directives that mean the same must have equal watch.Options, otherwise
// they would not share a watch.
func (c *kubernetesOptions) derive() {
	slices.Sort(c.namespaces)
	c.Objects.Namespaces = strings.Join(slices.Compact(c.namespaces), ",")
	if c.selected && len(c.namespaces) == 0 {
		c.Objects.Namespaces = noNamespace
	}
	c.Zonal = c.Objects.Zonal
	c.Objects.VerifyPods = c.Pods == zones.PodsVerified
	c.Nearest = c.Objects.Nearest != zones.NearestUnset || c.Objects.Affinity // who asks counts
	c.Objects.Who = c.Nearest
	if c.Visibility != nil { // pods say whose address it is
		c.Objects.Visibility, c.Objects.VerifyPods, c.Objects.Who = watch.OwnVisibility+c.rules, true, true
	}
	c.deriveToplevel()
	if c.Objects.Snapshot.Path != "" {
		c.Objects.Snapshot.After = c.StartupTimeout
	}
	if len(c.MultiCluster) > 0 {
		c.Imports = c.Objects
		c.Imports.Toplevel = watch.Toplevel{} // search lists have no clusterset
		c.Imports.ServiceImports, c.Imports.VerifyPods, c.Imports.Zonal, c.Imports.Affinity = true, false, false, false
		c.Imports.Nearest, c.Imports.Visibility, c.Imports.Who = zones.NearestUnset, "", false
		c.Imports.Cluster, c.Imports.NearestCluster = c.cluster, c.cluster != ""
		c.Imports.ClusterOff = c.cluster != "" && c.Objects.Nearest == zones.NearestOff
		c.NearestCluster = c.cluster != ""
		if c.Imports.Snapshot.Path != "" {
			c.Imports.Snapshot.Path += importsSuffix
			c.Imports.Snapshot.Peers = watch.Peers{} // one address gives one snapshot
		}
	}
}

// importsSuffix ends the name of the file for the objects of a clusterset.
const importsSuffix = ".clusterset"

// checkSnapshots finds sources that are not the same and would write one file.
func checkSnapshots(blocks []*blockReader, r *Report) {
	writers, givers := map[string]watch.Options{}, map[string]watch.Options{}
	for _, b := range blocks {
		for i := range b.Sources {
			for _, o := range [...]watch.Options{b.Sources[i].Objects, b.Sources[i].Imports} {
				file := o.Snapshot.Path
				if file == "" {
					continue
				}
				if first, taken := writers[file]; taken && first != o {
					r.note(b.snapshots[i].at.mistake("kubernetes: snapshot: %q is the file of another kubernetes, whose options differ: "+
						"give each its own file", file))
				}
				writers[file] = o
				address := o.Snapshot.Peers.Listen
				if first, taken := givers[address]; taken && first != o && address != "" {
					r.note(b.snapshots[i].at.mistake("kubernetes: snapshot: at %s another kubernetes gives its snapshot, whose options "+
						"differ: give each its own port", address))
				}
				givers[address] = o
			}
		}
	}
}
