package e2e

import (
	"encoding/json"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/mcs-api/config/crd"
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
		})
	}
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
