package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/mcs-api/config/crd"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// importsCorefile serves a clusterset.
const importsCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	kubernetes cluster.local clusterset.local {
		kubeconfig KUBECONFIG
		multicluster clusterset.local
	}
}
`

// TestImportsOfEitherVersion reads ServiceImports of an API server that has
// v1beta1, the storage version of mcs-api since 0.5, and of one that has
// v1alpha1 alone.
func TestImportsOfEitherVersion(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1alpha1"} {
		t.Run(version, func(t *testing.T) {
			c := startCluster(t)
			createCRD(t, c, version)
			object := `{"apiVersion":"multicluster.x-k8s.io/` + version + `","kind":"ServiceImport","metadata":{"name":"web"},
				"spec":{"type":"ClusterSetIP","ips":["10.42.0.1"],"ports":[{"name":"http","port":80}]}}`
			if err := create(t.Context(), c, "default", []byte(object)); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, c.kubeconfig(""), importsCorefile)
			s.awaitServing(t, 30*time.Second)
			s.answers(t, "web.default.svc.clusterset.local. A", "@ A 10.42.0.1")
			headlessImport(t, c, s, version)
		})
	}
}

// headlessImport is an import whose endpoints come from two clusters, in both
// families, and what becomes of it: section 2.4 of the Multicluster Service DNS
// specification.
func headlessImport(t *testing.T, c *cluster, s *server, version string) {
	t.Helper()
	const (
		service = "db.default.svc.clusterset.local."
		ports   = "_http._tcp." + service
	)
	post := func(name, spec string) error {
		return create(t.Context(), c, "default", []byte(`{"apiVersion":"multicluster.x-k8s.io/`+version+
			`","kind":"ServiceImport","metadata":{"name":"`+name+`"},"spec":`+spec+`}`))
	}
	if err := post("other", `{"type":"Other","ports":[]}`); !apierrors.IsInvalid(err) {
		t.Fatalf("a type that mcs-api does not have: %v", err)
	}
	for _, one := range []struct {
		cluster, host, address string
		family                 discoveryv1.AddressType
	}{
		{"east", "db-0", "10.1.0.1", "IPv4"}, {"east", "db-0", "fd00:1::1", "IPv6"},
		{"West", "db-0", "10.2.0.1", "IPv4"}, {"West", "", "10.2.0.2", "IPv4"},
	} {
		imported := slice("", strings.ToLower(one.cluster+"-"+string(one.family)+"-"+strings.NewReplacer(".", "-", ":", "-").Replace(one.address)),
			one.family, ready(one.host, one.address), unready("gone", one.address))
		imported.Labels = map[string]string{mcsv1beta1.LabelServiceName: "db", mcsv1beta1.LabelSourceCluster: one.cluster}
		createSlice(t, c, imported)
	}
	createSlice(t, c, slice("db", "own", "IPv4", ready("", "10.9.0.1"))) // of this cluster, not of the set
	s.awaitAnswer(t, patience, "db.default.svc.clusterset.local.", dns.TypeA, func(m *dns.Msg) bool { return m.Rcode == dns.RcodeNameError })
	if err := post("db", `{"type":"Headless","ports":[{"name":"http","port":80,"protocol":"TCP"}]}`); err != nil {
		t.Fatal(err)
	}
	const id = "db-0.west." + service
	s.answers(t, service+" A", "@ A 10.1.0.1", "@ A 10.2.0.1", "@ A 10.2.0.2")
	s.answers(t, service+" AAAA", "@ AAAA fd00:1::1")
	s.answers(t, "db-0.east."+service+" A", "@ A 10.1.0.1")
	s.answers(t, "db-0.east."+service+" AAAA", "@ AAAA fd00:1::1")
	s.answers(t, id+" A", "@ A 10.2.0.1")
	s.answers(t, "10-2-0-2.west."+service+" A", "@ A 10.2.0.2")
	s.answers(t, ports+" SRV", "@ SRV 0 25 8080 db-0.east."+service, "@ SRV 0 25 8080 "+id, "@ SRV 0 25 8080 10-2-0-2.west."+service,
		"+ db-0.east."+service+" A 10.1.0.1", "+ db-0.east."+service+" AAAA fd00:1::1", "+ "+id+" A 10.2.0.1",
		"+ 10-2-0-2.west."+service+" A 10.2.0.2")
	rcode := func(name string, want int) {
		t.Helper()
		if m := s.ask(t, "udp", name, dns.TypeA); m.Rcode != want || len(m.Answer) > 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
	rcode("west."+service, dns.RcodeSuccess)         // between two names
	rcode("db-0."+service, dns.RcodeNameError)       // of which cluster?
	rcode("db-0.north."+service, dns.RcodeNameError) // exports nothing
	rcode("gone.east."+service, dns.RcodeNameError)  // not ready
	rcode("db.default.svc.cluster.local.", dns.RcodeNameError)

	// The own cluster's come first, also for names of ports; those of others keep their own names.
	s.configure(t, strings.Replace(importsCorefile, "\t\tmulticluster", "\t\tnearest\n\t\tcluster_id east\n\t\tmulticluster", 1))
	s.send(t, syscall.SIGUSR1)
	s.answers(t, service+" A", "@ A 10.1.0.1")
	s.answers(t, service+" AAAA", "@ AAAA fd00:1::1")
	s.answers(t, ports+" A", "@ A 10.1.0.1")
	s.answers(t, id+" A", "@ A 10.2.0.1")

	// The import says that all clusters count alike, and then nothing again.
	annotate := func(value string) {
		t.Helper()
		err := c.CoreV1().RESTClient().Patch(types.MergePatchType).AbsPath("/apis/multicluster.x-k8s.io/" + version +
			"/namespaces/default/serviceimports/db").Body([]byte(`{"metadata":{"annotations":{"clusterdns.io/nearest":` + value + `}}}`)).
			Do(t.Context()).Error()
		if err != nil {
			t.Fatal(err)
		}
	}
	annotate(`"off"`)
	s.answers(t, service+" A", "@ A 10.1.0.1", "@ A 10.2.0.1", "@ A 10.2.0.2")
	annotate("null")
	s.answers(t, service+" A", "@ A 10.1.0.1")

	// One cluster withdraws its export, so that the other's are all there are; then the import goes.
	deleteSlice(t, c, "east-ipv4-10-1-0-1")
	deleteSlice(t, c, "east-ipv6-fd00-1--1")
	s.answers(t, service+" A", "@ A 10.2.0.1", "@ A 10.2.0.2")
	s.awaitAnswer(t, patience, "db-0.east."+service, dns.TypeA, func(m *dns.Msg) bool { return m.Rcode == dns.RcodeNameError })
	err := c.CoreV1().RESTClient().Delete().AbsPath("/apis/multicluster.x-k8s.io/" + version + "/namespaces/default/serviceimports/db").
		Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	s.awaitAnswer(t, patience, service, dns.TypeA, func(m *dns.Msg) bool { return m.Rcode == dns.RcodeNameError })
	s.answers(t, "web.default.svc.clusterset.local. A", "@ A 10.42.0.1")
}

// createCRD lets the API server have ServiceImports as mcs-api defines them:
// all of its versions, or v1alpha1 alone.
func createCRD(t *testing.T, c *cluster, storage string) {
	t.Helper()
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(crd.ServiceImportCRD, &definition); err != nil {
		t.Fatal(err)
	}
	for i := range definition.Spec.Versions {
		v := &definition.Spec.Versions[i]
		v.Storage, v.Served = v.Name == storage, v.Served && v.Name <= storage
	}
	text, err := json.Marshal(&definition)
	if err != nil {
		t.Fatal(err)
	}
	client := c.CoreV1().RESTClient()
	err = client.Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").
		SetHeader("Content-Type", "application/json").Body(text).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	await(t, patience, "the API server to serve ServiceImports", func() bool {
		return client.Get().AbsPath("/apis/multicluster.x-k8s.io/"+storage+"/serviceimports").Do(t.Context()).Error() == nil
	})
}
