package resolver

import (
	"bytes"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// metadata is what a block with that directive tells log, template, view and rewrite of a query. Its labels are
// CoreDNS's. They are about the query as it came, whatever a step has made of it, and nothing is worked out before a
// label is asked for.
type metadata struct {
	zones    zones.Set // names that labels are for, except those that steps write down
	view     *View     // of the block; nil for none
	clusters []metadataCluster
}

// metadataCluster is a directive kubernetes of the block.
type metadataCluster struct {
	*authority
	options *Kubernetes
}

// noted is what steps write down about a request whose block has the directive.
type noted struct {
	by       *metadata // of the block that the query is for; nil without the directive
	upstream string    // the address that was asked last; "" for none
	wildcard string    // the one that a zone's answer was made of
}

// newMetadata compiles the directive, after those whose labels it has.
func newMetadata(b *block) (err error) {
	o := b.options.Metadata
	if o == nil {
		return nil
	}
	b.metadata = &metadata{view: b.options.View}
	for i, a := range b.authorities {
		b.metadata.clusters = append(b.metadata.clusters, metadataCluster{a, &b.options.Kubernetes[i]})
	}
	b.metadata.zones, err = zones.NewSet(o.Zones)
	return err
}

// HasMetadata reports whether the block that the query is for has the directive metadata.
func (r *Request) HasMetadata() bool { return r.noted.by != nil }

// Metadata is the value of a label such as kubernetes/namespace. ok is false if the block that the query is for has none.
func (r *Request) Metadata(label string) (value string, ok bool) {
	switch label {
	case "forward/upstream":
		return r.noted.upstream, r.noted.upstream != ""
	case "trace/traceid":
		return r.traceID()
	case "zone/wildcard":
		return r.noted.wildcard, r.noted.wildcard != ""
	}
	return r.noted.by.value(r, label)
}

// value is what is known of a label before the steps run.
func (m *metadata) value(r *Request, label string) (value string, ok bool) {
	room, name, slash := strings.Cut(label, "/")
	if m == nil || !slash || !m.zones.Contains(&r.Query.QName) {
		return "", false
	}
	switch {
	case label == "view/name" && m.view != nil:
		return m.view.Name, true
	case room != "kubernetes":
		return "", false
	case strings.HasPrefix(name, "client-"):
		return m.client(r, name)
	}
	for _, c := range m.clusters {
		if _, labels, ok := c.zones.Match(&r.Query.QName); ok {
			return schemaPart(&r.Query.QName, labels, c.options.Zonal, name)
		}
	}
	return "", false
}

// client is what is known of the pod that asks.
func (m *metadata) client(r *Request, name string) (value string, ok bool) {
	for _, c := range m.clusters {
		if c.options.Pods != zones.PodsVerified {
			continue
		}
		space, pod := c.options.Index.Snapshot().PodAt(&r.match, r.Client.Addr().Unmap())
		switch key, ok := strings.CutPrefix(name, "client-label/"); {
		case space == "":
		case name == "client-namespace":
			return space[1:], true
		case pod == nil:
		case name == "client-pod-name":
			return pod.Name, true
		case ok:
			return pod.Label(key)
		}
	}
	return "", false
}

// schemaPart is a part of a name of the Kubernetes DNS schema, below a zone with that many labels: "" where the name has
// none of that kind. Of a name that the schema does not have, there is nothing but a parse-error.
func schemaPart(name *wire.QName, zone int, zonal bool, part string) (value string, ok bool) {
	n := name.Labels() - zone // counted from the left, the kind is label n-1, the namespace n-2, and the service n-3
	switch valid := inSchema(name, n, zonal); {
	case !valid && part == "parse-error":
		return "invalid query name", true
	case !valid:
		return "", false
	}
	label := -1
	switch {
	case part == "kind" && n > 1:
		label = n - 1
	case part == "namespace":
		label = n - 2
	case part == "service":
		label = n - 3
	case part == "endpoint" && n == 4:
		label = 0
	case part == "protocol" && n == 5:
		label = 1
	case part == "port-name" && n == 5:
		label = 0
	case part == "zone" && zonal && n > 5:
		return labelsText(name.Between(0, n-5)), true
	case part == "zone":
		return "", zonal
	case part != "kind" && part != "endpoint" && part != "protocol" && part != "port-name":
		return "", false
	}
	if label < 0 {
		return "", true
	}
	text := labelsText(name.Between(label, label+1))
	if n == 5 && label < 2 {
		text = strings.TrimPrefix(text, "_")
	}
	return text, true
}

// inSchema reports whether the first n labels of name are as the schema has them: [endpoint. or port.protocol. or, with
// zonal, zone.pin._zone. or zone.prefer._zone.]service.namespace.svc or .pod, without its left end, or nothing.
func inSchema(name *wire.QName, n int, zonal bool) bool {
	if n == 0 {
		return true
	}
	kind := name.Label(n - 1)
	switch {
	case !bytes.Equal(kind, []byte("svc")) && !bytes.Equal(kind, []byte("pod")):
		return false
	case n <= 5:
		return true
	}
	directive := string(name.Label(n - 5))
	return zonal && string(kind) == "svc" && string(name.Label(n-4)) == "_zone" && (directive == "pin" || directive == "prefer")
}

// labelsText is labels in presentation format, without a final dot.
func labelsText(labels []byte) string {
	return strings.TrimSuffix(string(wire.AppendName(nil, labels)), ".")
}
