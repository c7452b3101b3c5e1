package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// gatewayCorefile names what a LAN reaches, on the watch of the cluster.
const gatewayCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
	}
	k8s_gateway lan.example {
		kubeconfig KUBECONFIG
		resources Ingress HTTPRoute TLSRoute GRPCRoute DNSEndpoint Service
		gatewayClasses lan
		apex dns1.default
		ttl 30
	}
	forward invalid 127.0.0.1:9
}
`

const (
	gatewayFound  = "NOERROR qr aa rd ra"
	gatewayDenied = "NXDOMAIN qr aa rd ra"
)

// gatewayCRD is a custom resource of the Gateway API, as its release has it.
func gatewayCRD(t *testing.T, plural string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(folder)), "config/crd/standard/gateway.networking.k8s.io_"+plural+".yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	definition := new(apiextensionsv1.CustomResourceDefinition)
	if err := yaml.Unmarshal(text, definition); err != nil {
		t.Fatal(err)
	}
	return definition
}

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// install creates a custom resource and waits until it is served.
func install(t *testing.T, c *cluster, definition *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	c.send(t, http.MethodPost, definitions, definition)
	served := slices.IndexFunc(definition.Spec.Versions,
		func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Served })
	path := "/apis/" + definition.Spec.Group + "/" + definition.Spec.Versions[served].Name + "/" + definition.Spec.Names.Plural
	await(t, patience, "the API server to serve "+path, func() bool {
		return c.CoreV1().RESTClient().Get().AbsPath(path).Do(t.Context()).Error() == nil
	})
}

// send sends an object as JSON.
func (c *cluster) send(t *testing.T, method, path string, o any) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	err = c.CoreV1().RESTClient().Verb(method).AbsPath(path).SetHeader("Content-Type", "application/json").
		Body(text).Do(t.Context()).Error()
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

const gatewayPath = "/apis/gateway.networking.k8s.io/v1/namespaces/default/"

// createGateway creates a Gateway with a listener for HTTP, and one for TLS;
// its address is the status that a controller would write.
func createGateway(t *testing.T, c *cluster, name, class, host, address string) {
	t.Helper()
	hostname, passthrough := gatewayv1.Hostname(host), gatewayv1.TLSModePassthrough
	g := &gatewayv1.Gateway{
		TypeMeta:   metav1.TypeMeta{APIVersion: gatewayv1.GroupVersion.String(), Kind: "Gateway"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: gatewayv1.ObjectName(class),
			Listeners: []gatewayv1.Listener{
				{Name: "web", Port: 80, Protocol: gatewayv1.HTTPProtocolType, Hostname: &hostname},
				{Name: "raw", Port: 8443, Protocol: gatewayv1.TLSProtocolType, TLS: &gatewayv1.ListenerTLSConfig{Mode: &passthrough}},
			},
		},
	}
	c.send(t, http.MethodPost, gatewayPath+"gateways", g)
	moveGateway(t, c, name, address)
}

// moveGateway writes the address of a Gateway.
func moveGateway(t *testing.T, c *cluster, name, address string) {
	t.Helper()
	text := `{"status":{"addresses":[{"type":"IPAddress","value":"` + address + `"}]}}`
	err := c.CoreV1().RESTClient().Patch("application/merge-patch+json").AbsPath(gatewayPath + "gateways/" + name + "/status").
		Body([]byte(text)).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

// createRoute creates a route of a kind, attached to Gateways.
func createRoute(t *testing.T, c *cluster, kind, version, name, host string, gateways ...string) {
	t.Helper()
	spec := map[string]any{"rules": []any{map[string]any{"backendRefs": []any{map[string]any{"name": "web", "port": 80}}}}}
	var parents []any
	for _, g := range gateways {
		parents = append(parents, map[string]any{"name": g})
	}
	spec["parentRefs"] = parents
	if host != "" {
		spec["hostnames"] = []string{host}
	}
	c.send(t, http.MethodPost,
		"/apis/gateway.networking.k8s.io/"+version+"/namespaces/default/"+strings.ToLower(kind)+"s",
		map[string]any{"apiVersion": "gateway.networking.k8s.io/" + version, "kind": kind,
			"metadata": map[string]any{"name": name}, "spec": spec})
}

// endpointCRD is DNSEndpoint as an API server sees it. The one of external-dns
// also describes its fields.
func endpointCRD() *apiextensionsv1.CustomResourceDefinition {
	any := true
	return &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: "dnsendpoints.externaldns.k8s.io", Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved"}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "externaldns.k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "dnsendpoints", Kind: "DNSEndpoint"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1alpha1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{
					OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &any},
				}}},
		},
	}
}

// createEndpoint creates a DNSEndpoint with one address.
func createEndpoint(t *testing.T, c *cluster, name, host, address string) {
	t.Helper()
	c.send(t, http.MethodPost, "/apis/externaldns.k8s.io/v1alpha1/namespaces/default/dnsendpoints",
		map[string]any{"apiVersion": "externaldns.k8s.io/v1alpha1", "kind": "DNSEndpoint", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"endpoints": []any{map[string]any{"dnsName": host, "recordType": "A", "targets": []string{address}}}}})
}

func remove(t *testing.T, c *cluster, path string) {
	t.Helper()
	if err := c.CoreV1().RESTClient().Delete().AbsPath(path).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}

// createIngress creates an Ingress for a host, with the address that a
// controller would write.
func createIngress(t *testing.T, c *cluster, name, host, address string) {
	t.Helper()
	ingresses := c.NetworkingV1().Ingresses("default")
	i, err := ingresses.Create(t.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: networkingv1.IngressSpec{
			DefaultBackend: &networkingv1.IngressBackend{
				Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
			},
			Rules: []networkingv1.IngressRule{{Host: host}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: address}}
	if _, err := ingresses.UpdateStatus(t.Context(), i, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// createBalanced creates a service of type LoadBalancer, with the status that a
// cloud would write.
func createBalanced(t *testing.T, c *cluster, name, clusterIP string, annotations map[string]string, in corev1.LoadBalancerIngress) {
	t.Helper()
	service := createService(t, c, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: clusterIP,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{in}
	if _, err := c.CoreV1().Services("default").UpdateStatus(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// comes asks with dig until the answer is the address, "" for NXDOMAIN.
func (s *server) comes(t *testing.T, name, address string) {
	t.Helper()
	want := gatewayDenied
	if address != "" {
		want = gatewayFound + "\n" + name + ". 30 IN A " + address
	}
	await(t, 30*time.Second, name+" to be "+address, func() bool {
		output := s.dig(t, name)
		return strings.TrimSpace(status(t, output)+"\n"+strings.Join(section(output, "ANSWER"), "\n")) == want
	})
}

// TestGatewayNames: names of a LAN, with the role of deploy/base. The Gateway
// API is installed while the server runs, and taken away again.
func TestGatewayNames(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "clusterdns=secret")
	grant(t, c, "clusterdns", "all", deployedRole(t))
	createIngress(t, c, "shop", "shop.lan.example", "192.0.2.10")
	createIngress(t, c, "wild", "*.apps.lan.example", "192.0.2.11")
	createBalanced(t, c, "db", "10.96.1.1", nil, corev1.LoadBalancerIngress{IP: "192.0.2.20"})
	createBalanced(t, c, "named", "10.96.1.2", map[string]string{"coredns.io/hostname": "game.lan.example"},
		corev1.LoadBalancerIngress{IP: "192.0.2.21"})
	createBalanced(t, c, "dns1", "10.96.1.3", nil, corev1.LoadBalancerIngress{IP: "192.0.2.53"})
	s := startServer(t, c.kubeconfig("clusterdns"), gatewayCorefile)
	s.awaitServing(t, 30*time.Second)

	s.digs(t, "shop.lan.example", gatewayFound, "shop.lan.example. 30 IN A 192.0.2.10")
	s.digs(t, "+tcp any.apps.lan.example", gatewayFound, "any.apps.lan.example. 30 IN A 192.0.2.11")
	s.digs(t, "db.default.lan.example", gatewayFound, "db.default.lan.example. 30 IN A 192.0.2.20")
	s.digs(t, "game.lan.example", gatewayFound, "game.lan.example. 30 IN A 192.0.2.21")
	s.digs(t, "db.default.lan.example AAAA", gatewayFound)
	contains(t, s.digs(t, "none.lan.example", gatewayDenied), "no Ingress, route or load balancer has this name")
	ns := s.digs(t, "lan.example NS", gatewayFound, "lan.example. 30 IN NS dns1.default.lan.example.")
	if got, want := section(ns, "ADDITIONAL"), []string{"dns1.default.lan.example. 30 IN A 192.0.2.53"}; !slices.Equal(got, want) {
		t.Errorf("additional %q, want %q", got, want)
	}
	for _, kind := range []string{"gateways", "httproutes", "tlsroutes", "grpcroutes", "dnsendpoints"} {
		if n := strings.Count(s.said(), "is not installed: there are no names of it until it is kind="+kind); n != 1 {
			t.Errorf("said %d times that %s are not installed, want once", n, kind)
		}
	}

	for _, plural := range []string{"gateways", "httproutes", "tlsroutes", "grpcroutes"} {
		install(t, c, gatewayCRD(t, plural))
	}
	install(t, c, endpointCRD())
	createEndpoint(t, c, "records", "record.lan.example", "192.0.2.40")
	createGateway(t, c, "edge", "lan", "*.lan.example", "192.0.2.30")
	createGateway(t, c, "exact", "lan", "exact.lan.example", "192.0.2.31")
	createGateway(t, c, "other", "wan", "*.lan.example", "192.0.2.99")
	createRoute(t, c, "HTTPRoute", "v1", "web", "web.lan.example", "edge", "other")
	createRoute(t, c, "HTTPRoute", "v1", "bare", "", "exact")
	createRoute(t, c, "HTTPRoute", "v1", "away", "away.lan.example", "other")
	createRoute(t, c, "GRPCRoute", "v1", "grpc", "grpc.lan.example", "edge")
	createRoute(t, c, "TLSRoute", "v1", "raw", "raw.lan.example", "exact")
	s.comes(t, "web.lan.example", "192.0.2.30")
	s.comes(t, "exact.lan.example", "192.0.2.31")
	s.comes(t, "grpc.lan.example", "192.0.2.30")
	s.comes(t, "raw.lan.example", "192.0.2.31")
	s.comes(t, "record.lan.example", "192.0.2.40")
	s.digs(t, "away.lan.example", gatewayDenied)

	moveGateway(t, c, "edge", "192.0.2.32")
	s.comes(t, "web.lan.example", "192.0.2.32")
	refuse := `{"status":{"parents":[{"parentRef":{"name":"edge"},"controllerName":"example.com/controller","conditions":[{"type":"Accepted",
		"status":"False","reason":"NotAllowedByListeners","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}]}}`
	err := c.CoreV1().RESTClient().Patch("application/merge-patch+json").AbsPath(gatewayPath + "httproutes/web/status").
		Body([]byte(refuse)).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	s.comes(t, "web.lan.example", "")
	remove(t, c, gatewayPath+"grpcroutes/grpc")
	s.comes(t, "grpc.lan.example", "")
	if n := s.metric(t, `clusterdns_kubernetes_objects{kind="httproutes"`); n != 3 {
		t.Errorf("%v HTTPRoutes are held, want 3", n)
	}
	if n := refused(t, c); n != 0 {
		t.Errorf("%v requests were refused", n)
	}

	// An API server that comes back lacks no resource: nothing is forgotten.
	stop := s.steadily(t, "raw.lan.example A", oneAddress)
	c.kill(t)
	c.start(t)
	createIngress(t, c, "later", "later.lan.example", "192.0.2.12")
	s.comes(t, "later.lan.example", "192.0.2.12")
	moveGateway(t, c, "edge", "192.0.2.33")
	createRoute(t, c, "HTTPRoute", "v1", "back", "back.lan.example", "edge")
	s.comes(t, "back.lan.example", "192.0.2.33")
	if n := stop(); n == 0 {
		t.Error("nothing was asked while the API server was away")
	}

	remove(t, c, definitions+"/tlsroutes.gateway.networking.k8s.io")
	s.comes(t, "raw.lan.example", "")
	s.digs(t, "back.lan.example", gatewayFound, "back.lan.example. 30 IN A 192.0.2.33")
}

// TestTLSRoutesOfOlderVersion reads TLSRoutes of an API server that has
// v1alpha2 alone, as the Gateway API had it before 1.5.
func TestTLSRoutesOfOlderVersion(t *testing.T) {
	c := startCluster(t)
	for _, plural := range []string{"gateways", "tlsroutes"} {
		definition := gatewayCRD(t, plural)
		for i := range definition.Spec.Versions {
			if v := &definition.Spec.Versions[i]; plural == "tlsroutes" {
				v.Served, v.Storage = v.Name == "v1alpha2", v.Name == "v1alpha2"
			}
		}
		install(t, c, definition)
	}
	createGateway(t, c, "edge", "lan", "*.lan.example", "192.0.2.30")
	createRoute(t, c, "TLSRoute", "v1alpha2", "raw", "raw.lan.example", "edge")
	s := startServer(t, c.kubeconfig(""), gatewayCorefile)
	s.awaitServing(t, 30*time.Second)
	s.comes(t, "raw.lan.example", "192.0.2.30")
}

// TestGatewayPermission: a role without the Gateway API keeps the LAN's names
// from being denied, and no others. The log says what the role needs.
func TestGatewayPermission(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "clusterdns=secret")
	role := deployedRole(t)
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == gatewayv1.GroupName })
	grant(t, c, "clusterdns", "less", role)
	createIngress(t, c, "shop", "shop.lan.example", "192.0.2.10")
	createService(t, c, clusterIP("web", "10.96.1.1"))
	s := startServer(t, c.kubeconfig("clusterdns"), gatewayCorefile)
	for _, kind := range []string{"gateways", "httproutes", "tlsroutes", "grpcroutes"} {
		want := "{apiGroups: [gateway.networking.k8s.io], resources: [" + kind + "], verbs: [list, watch]}"
		await(t, patience, "the log to say what the role needs", func() bool { return strings.Contains(s.said(), want) })
	}
	await(t, patience, "the names of the cluster", func() bool {
		return status(t, s.dig(t, "web.default.svc.cluster.local")) == gatewayFound
	})
	contains(t, s.dig(t, "shop.lan.example"), "status: SERVFAIL")
	s.isReady(t, false)
	grant(t, c, "clusterdns", "all", deployedRole(t))
	s.comes(t, "shop.lan.example", "192.0.2.10")
	s.awaitServing(t, 30*time.Second)
}
