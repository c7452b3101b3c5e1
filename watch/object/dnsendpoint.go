package object

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// DNSEndpoint is a custom resource of external-dns: the fields of it that are read. Schemes know it by the name of its
// Go type.
type DNSEndpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Endpoints []RecordSet `json:"endpoints"`
	} `json:"spec"`
}

// RecordSet is the records of one name and type, as a DNSEndpoint has them.
type RecordSet struct {
	DNSName    string   `json:"dnsName"`
	RecordType string   `json:"recordType"`
	RecordTTL  int64    `json:"recordTTL"` // seconds; 0 for the one of the zone
	Targets    []string `json:"targets"`
}

// DNSEndpointList is a list of them.
type DNSEndpointList struct{ customList[DNSEndpoint] }

// DeepCopyObject implements runtime.Object.
func (o *DNSEndpoint) DeepCopyObject() runtime.Object {
	c := *o
	c.ObjectMeta = *o.ObjectMeta.DeepCopy()
	c.Spec.Endpoints = slices.Clone(o.Spec.Endpoints)
	for i := range c.Spec.Endpoints {
		c.Spec.Endpoints[i].Targets = slices.Clone(c.Spec.Endpoints[i].Targets)
	}
	return &c
}

// DeepCopyObject implements runtime.Object.
func (o *DNSEndpointList) DeepCopyObject() runtime.Object {
	return &DNSEndpointList{copyList(o.customList, (*DNSEndpoint).DeepCopyObject)}
}

var endpointVersions = []schema.GroupVersion{{Group: "externaldns.k8s.io", Version: "v1alpha1"}}

// Records is what is read of a DNSEndpoint.
type Records struct {
	Key
	Version string
	Sets    []RecordSet // of names that are served, in lower case; the first label may be *
}

// recordTypes are the types of records that are taken of a DNSEndpoint.
var recordTypes = []string{"A", "AAAA", "CNAME", "TXT"}

// mostTTL is the largest TTL (RFC 2181 section 8).
const mostTTL = 1<<31 - 1

// stripDNSEndpoint keeps what is read of a DNSEndpoint; nil when none of its names is served.
func stripDNSEndpoint(o *DNSEndpoint, selection Selection) (*Records, []Problem) {
	wrong := Problems{kind: "dnsendpoint", Key: KeyOf(o)}
	if ignored(o) {
		return nil, nil
	}
	r := &Records{Key: wrong.Key, Version: o.ResourceVersion}
	for _, set := range o.Spec.Endpoints {
		names := selection.Hosts.appendHost(nil, set.DNSName, &wrong)
		switch {
		case len(names) == 0:
			continue
		case !slices.Contains(recordTypes, set.RecordType):
			wrong.Add(set.RecordType, "records of type %q are not taken, only A, AAAA, CNAME, TXT")
			continue
		}
		set.DNSName, set.RecordTTL = names[0], min(max(set.RecordTTL, 0), mostTTL)
		if set.Targets = stripTargets(set, &wrong); len(set.Targets) > 0 {
			r.Sets = append(r.Sets, set)
		}
	}
	if len(r.Sets) == 0 {
		return nil, wrong.List
	}
	return r, wrong.List
}

// stripTargets are the targets that make a record.
func stripTargets(set RecordSet, wrong *Problems) (targets []string) {
	for _, text := range set.Targets {
		addr, isAddr := ParseAddr(text)
		switch {
		case set.RecordType == "TXT":
			targets = append(targets, strings.Clone(unquoted(text)))
		case set.RecordType == "CNAME" && ValidName(strings.ToLower(strings.TrimSuffix(text, "."))):
			targets = append(targets, strings.ToLower(strings.TrimSuffix(text, ".")))
		case isAddr && (set.RecordType == "A" && addr.Is4() || set.RecordType == "AAAA" && addr.Is6()):
			targets = append(targets, addr.String())
		default:
			wrong.Add(text, "%q is no target of a record of type "+set.RecordType)
		}
	}
	return targets
}

// unquoted is a text without the quotes that external-dns puts around it.
func unquoted(text string) string {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

// Size is about how many octets r takes; none if it is nil.
func (r *Records) Size() int {
	if r == nil {
		return 0
	}
	size := 256 + len(r.Name) + len(r.Namespace) + len(r.Version)
	for i := range r.Sets {
		size += 128 + len(r.Sets[i].DNSName) + textsSize(r.Sets[i].Targets)
	}
	return size
}

// About implements Object.
func (r *Records) About() (Key, string) { return r.Key, r.Version }
