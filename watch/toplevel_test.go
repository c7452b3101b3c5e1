package watch

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// toplevels is stores with option toplevel, and their log.
func toplevels(t *testing.T, o Toplevel) (*stores, *strings.Builder) {
	t.Helper()
	s := newStores(t)
	var out strings.Builder
	s.toplevel, s.log = newToplevel(o), slog.New(lines(&out, slog.LevelInfo))
	must(t, s.services.Replace(nil, "1"))
	must(t, s.slices.Replace(nil, "1"))
	must(t, s.namespaces.Replace([]any{namespaceAt("prod", 1), namespaceAt("com", 1), namespaceAt("dev", 1)}, "1"))
	return s, &out
}

func serviceIn(namespace, name, ip string, version int) any {
	s := serviceAt(name, ip, version)
	s.Namespace = namespace
	return s
}

// called is a slice of a service of prod with an endpoint called hostname, "" for none.
func called(service, hostname string, version int) any {
	s := sliceAt(service, "10.244.0.1", version)
	if hostname != "" {
		s.Endpoints[0].Hostname = &hostname
	}
	return s
}

func (s *stores) captures(t *testing.T, when string, namespaces, services int) {
	t.Helper()
	s.publish(time.Unix(1, 0))
	if got := *s.toplevel.count(); got != (Toplevels{namespaces, services}) {
		t.Errorf("%s: %+v, not %d namespaces and %d services", when, got, namespaces, services)
	}
}

// Namespaces count while they have services, and services while they have named endpoints.
func TestToplevelCounts(t *testing.T) {
	s, out := toplevels(t, Toplevel{Labels: "cluster,local,pod,svc"})
	s.captures(t, "namespaces without services", 0, 0)
	must(t, s.services.Add(serviceIn("com", "example", "10.96.0.1", 2)))
	must(t, s.services.Add(serviceIn("com", "google", "10.96.0.2", 3)))
	must(t, s.services.Add(serviceIn("dev", "web", "10.96.0.3", 4)))
	must(t, s.services.Add(serviceIn("svc", "prod", "10.96.0.4", 5)))
	must(t, s.services.Add(serviceAt("web", "10.96.0.5", 6)))
	s.captures(t, "services of com, dev, svc and prod", 4, 0)
	if ok, _ := s.why("example.com"); !ok {
		t.Error("what is only counted is not served")
	}
	must(t, s.services.Delete(serviceIn("com", "google", "10.96.0.2", 7)))
	must(t, s.services.Delete(serviceIn("dev", "web", "10.96.0.3", 8)))
	s.captures(t, "com has one of two, dev none", 3, 0)
	must(t, s.services.Add(serviceIn("com", "example", "10.96.0.9", 9)))
	s.captures(t, "a service changed", 3, 0)

	must(t, s.services.Add(serviceAt("org", "10.96.0.6", 10)))
	must(t, s.slices.Add(called("org", "", 11)))
	s.captures(t, "a service called org", 3, 0)
	must(t, s.slices.Add(called("org", "example", 12)))
	s.captures(t, "with a named endpoint", 3, 1)
	must(t, s.slices.Add(called("org", "", 13)))
	s.captures(t, "whose name has gone", 3, 0)
	must(t, s.slices.Add(called("org", "example", 14)))
	s.captures(t, "and is there again", 3, 1)
	must(t, s.services.Replace(nil, "15"))
	s.captures(t, "a list without services", 0, 0)
	if n := len(s.toplevel.captures) + len(s.toplevel.spaces); n != 0 {
		t.Errorf("%d are remembered that have gone", n)
	}
	for _, who := range []string{"namespace com is", "namespace dev is", "namespace svc is", "namespace prod is", "service prod/org is"} {
		if n := strings.Count(out.String(), who); n != 1 {
			t.Errorf("%q stands %d times in the log:\n%s", who, n, out)
		}
	}
}

// What is refused is counted, and as if it were not there.
func TestToplevelRefuses(t *testing.T) {
	s, _ := toplevels(t, Toplevel{Labels: "cluster,com,corp,local,pod,svc", Refused: "com,corp,org"})
	if ok, why := s.why("example.com"); ok || why != zones.RefusedNamespace {
		t.Errorf("a name of an empty namespace: %v, %v", ok, why)
	}
	must(t, s.services.Add(serviceIn("com", "example", "10.96.0.1", 2)))
	must(t, s.services.Add(serviceIn("corp", "wiki", "10.96.0.2", 3)))
	must(t, s.services.Add(serviceIn("dev", "web", "10.96.0.3", 4)))
	must(t, s.services.Add(serviceAt("org", "10.96.0.6", 5)))
	s.captures(t, "refused and counted", 4, 0)
	for name, want := range map[string]zones.Why{"example.com": zones.RefusedNamespace, "wiki.corp": zones.RefusedNamespace,
		"wiki.none": zones.NoNamespace} {
		if ok, why := s.why(name); ok || why != want {
			t.Errorf("%s: %v, %v", name, ok, why)
		}
	}
	for _, name := range []string{"web.dev", "org.prod"} {
		if ok, _ := s.why(name); !ok {
			t.Errorf("%s is not served", name)
		}
	}
	must(t, s.slices.Add(called("org", "example", 6)))
	s.captures(t, "a named endpoint", 4, 1)
	if ok, why := s.why("org.prod"); ok || why != zones.NoNames {
		t.Errorf("a service that is refused: %v, %v", ok, why)
	}
	must(t, s.slices.Delete(called("org", "example", 7)))
	must(t, s.services.Delete(serviceIn("corp", "wiki", "10.96.0.2", 8))) // there is no object of the namespace
	must(t, s.services.Delete(serviceIn("com", "example", "10.96.0.1", 9)))
	must(t, s.namespaces.Delete(namespaceAt("com", 10)))
	if ok, _ := s.why("org.prod"); !ok {
		t.Error("a service whose named endpoint has gone is not served")
	}
	for _, name := range []string{"example.com", "wiki.corp"} {
		if ok, why := s.why(name); ok || why != zones.NoNamespace {
			t.Errorf("%s of a namespace that has gone: %v, %v", name, ok, why)
		}
	}
}

// The list has what everybody knows, as labels of namespaces are written.
func TestToplevelList(t *testing.T) {
	all := newToplevel(Toplevel{Labels: "svc", Refused: AllToplevel})
	for _, label := range []string{"com", "net", "org", "io", "dev", "arpa", "xn--p1ai", "svc"} {
		if !all.refuses(label) {
			t.Errorf("%s is no top-level domain", label)
		}
	}
	for label := range all.refused {
		if !object.ValidLabel(label) || label != strings.ToLower(label) {
			t.Errorf("%q is no label", label)
		}
	}
	if all.has("default") || all.has("kube-system") || newToplevel(Toplevel{}).has("com") || len(all.refused) < 1400 {
		t.Errorf("%d labels", len(all.refused))
	}
}
