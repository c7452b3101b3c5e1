package object

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestRole compares the ClusterRole of deploy/base with what is watched. A permission too few leaves names unanswered,
// and one too many is one that a stolen token has. Each row counts, whatever its When: an option of the Corefile turns
// it on, and the role is not changed when the Corefile is.
func TestRole(t *testing.T) {
	text, err := os.ReadFile("../../deploy/base/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(text, &role); err != nil {
		t.Fatal(err)
	}
	if role.AggregationRule != nil {
		t.Error("the rules of other roles are added")
	}
	want := map[string]int{}
	for _, r := range Resources {
		want["list "+r.Plural+"."+r.Versions[0].Group]++
		want["watch "+r.Plural+"."+r.Versions[0].Group]++
	}
	got := map[string]int{}
	for _, rule := range role.Rules {
		if len(rule.ResourceNames)+len(rule.NonResourceURLs) > 0 {
			t.Errorf("a rule is of names or URLs: %v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, plural := range rule.Resources {
				for _, verb := range rule.Verbs {
					got[verb+" "+plural+"."+group]++
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-watched +allowed:\n%s", diff)
	}
}
