package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestBaseIsTaken gives the objects of deploy/base to the API server, which is to know every field of them and to keep
// those that came late: it tells the oldest release (-kubernetes 1.27).
func TestBaseIsTaken(t *testing.T) {
	c := startCluster(t)
	for file, path := range map[string]string{
		"deployment":          "/apis/apps/v1/namespaces/kube-system/deployments",
		"service":             "/api/v1/namespaces/kube-system/services",
		"poddisruptionbudget": "/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets",
		"serviceaccount":      "/api/v1/namespaces/kube-system/serviceaccounts",
		"configmap":           "/api/v1/namespaces/kube-system/configmaps",
		"clusterrole":         "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"clusterrolebinding":  "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	} {
		text, err := os.ReadFile("../../../deploy/base/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		taken, err := c.CoreV1().RESTClient().Post().AbsPath(path).Param("dryRun", "All").Param("fieldValidation", "Strict").
			SetHeader("Content-Type", "application/yaml").SetHeader("Accept", "application/json").Body(text).DoRaw(t.Context())
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, taken)
		}
		for _, late := range []string{"matchLabelKeys", "unhealthyPodEvictionPolicy"} {
			if strings.Contains(string(text), late) && !strings.Contains(string(taken), late) {
				t.Errorf("%s: %s is dropped", file, late)
			}
		}
	}
}
