package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// deployedRole is the ClusterRole that people install.
func deployedRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/base/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role := new(rbacv1.ClusterRole)
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		t.Fatal(err)
	}
	return role
}

// grant creates a role and gives it to a user.
func grant(t *testing.T, c *cluster, user, name string, role *rbacv1.ClusterRole) {
	t.Helper()
	role.Name = name
	if _, err := c.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// refused returns how many requests the API server has refused for want of a
// permission, of whomever. Kubernetes 1.27 does not count them.
func refused(t *testing.T, c *cluster) float64 {
	t.Helper()
	body, err := c.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const attempts = "authorization_attempts_total{result="
	return sum(t, string(body), attempts+`"denied"`) + sum(t, string(body), attempts+`"no-opinion"`)
}

func TestDeployedRoleIsEnough(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "clusterdns=secret")
	grant(t, c, "clusterdns", "all", deployedRole(t))
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.1")))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")

	s := startServer(t, c.kubeconfig("clusterdns"), clusterCorefile) // with pods verified
	s.awaitServing(t, 30*time.Second)
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.1")
	s.answers(t, "-x 10.3.0.1", "@ PTR 10-3-0-1.db.default.svc.cluster.local.")
	s.answers(t, "10-244-1-1.default.pod.cluster.local. A", "@ A 10.244.1.1")
	// Lists are read; watches go on.
	createService(t, c, clusterIP("later", "10.96.1.2"))
	s.answers(t, "later.default.svc.cluster.local. A", "@ A 10.96.1.2")
	deletePod(t, c, "lone")
	s.denies(t, "10-244-1-1.default.pod.cluster.local. A", "namespace default: no live pod has this address")
	if n := refused(t, c); n != 0 {
		t.Errorf("%v requests were refused", n)
	}
}

// TestMissingPermissionSilencesOneSubtree runs a server for each permission of
// the role, without it.
func TestMissingPermissionSilencesOneSubtree(t *testing.T) {
	const (
		svc     = "web.default.svc.cluster.local. A"
		reverse = "-x 10.96.1.1"
		pod     = "10-244-1-1.default.pod.cluster.local. A"
	)
	answer := map[string]string{
		svc:     "@ A 10.96.1.1",
		reverse: "@ PTR web.default.svc.cluster.local.",
		pod:     "@ A 10.244.1.1",
	}
	tests := []struct {
		resource      string
		waits, serves []string
	}{
		{"services", []string{svc, reverse}, []string{pod}},
		{"endpointslices", []string{svc, reverse}, []string{pod}},
		{"namespaces", []string{svc, reverse, pod}, nil},
		{"pods", []string{pod}, []string{svc, reverse}},
	}
	args := []string{"-authorization-mode", "RBAC"}
	for _, test := range tests {
		args = append(args, "-token", "without-"+test.resource+"=secret-"+test.resource)
	}
	c := startCluster(t, args...)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")
	for _, test := range tests {
		t.Run(test.resource, func(t *testing.T) {
			user, role := "without-"+test.resource, deployedRole(t)
			for i, rule := range role.Rules {
				role.Rules[i].Resources = slices.DeleteFunc(rule.Resources, func(r string) bool { return r == test.resource })
			}
			role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return len(r.Resources) == 0 })
			grant(t, c, user, user, role)
			s := startServer(t, c.kubeconfig(user), clusterCorefile)
			for _, question := range test.serves {
				s.answers(t, question, answer[question])
			}
			for _, question := range test.waits {
				s.waits(t, question)
			}
			// What needs no object is there.
			s.answers(t, "dns-version.cluster.local. TXT", `@ 28800 TXT "1.1.0"`)
			s.answers(t, "www.example.com. A", "@ 60 A 192.0.2.53")
			s.isReady(t, false)
			s.explains(t, test.waits[0], "403 Forbidden: "+user+" may not ", "resources: ["+test.resource+"], verbs: [list, watch]}")

			// The missing permission is given, and the server goes on by itself.
			grant(t, c, user, "with-"+test.resource, deployedRole(t))
			for question, record := range answer {
				s.answers(t, question, record)
			}
			s.isReady(t, true)
			await(t, patience, "the log to say that all is well", func() bool {
				return strings.Contains(s.said(), "kubernetes: the API server is read again") &&
					strings.Contains(s.said(), "kubernetes: ready: ")
			})
		})
	}
	if refused(t, c) == 0 && *release != "1.27" {
		t.Error("no request was counted as refused: TestDeployedRoleIsEnough proves nothing")
	}
}
