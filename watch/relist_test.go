package watch

import (
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/zones"
)

// TestRelistMakesNoCopies reads a list again, of which one object has changed.
func TestRelistMakesNoCopies(t *testing.T) {
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	services := &store{state: s, kind: zones.Services, alive: newAlive("services")}
	list := func(versions map[string]string) {
		t.Helper()
		var stripped []any
		for name, version := range versions {
			o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, ResourceVersion: version}}
			n, err := services.Transformer()(o)
			if err != nil {
				t.Fatal(err)
			}
			stripped = append(stripped, n)
		}
		if err := services.Replace(stripped, "9"); err != nil {
			t.Fatal(err)
		}
	}
	web, db, gone := key{"prod", "web"}, key{"prod", "db"}, key{"prod", "gone"}
	list(map[string]string{"web": "1", "db": "2", "gone": "3"})
	oldWeb, oldDB := s.services[web], s.services[db]
	clear(s.dirty)
	list(map[string]string{"web": "1", "db": "4"})
	if s.services[web] != oldWeb {
		t.Error("an object at the same version was copied")
	}
	if s.services[db] == oldDB || s.services[db].version != "4" {
		t.Errorf("an object that has changed is held as %+v", s.services[db])
	}
	_, dirtyWeb := s.dirty[web]
	_, dirtyGone := s.dirty[gone]
	if dirtyWeb || !dirtyGone || s.services[gone] != nil || len(s.dirty) != 2 {
		t.Errorf("dirty %v", s.dirty)
	}
}
