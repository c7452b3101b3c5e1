//go:build linux

package main

import (
	"slices"
	"testing"
)

// TestRows holds the table of rows together: names are unique, each has servers, and those of the short list exist.
func TestRows(t *testing.T) {
	rows := allRows(10_000)
	var names []string
	for _, r := range rows {
		if slices.Contains(names, r.name) {
			t.Errorf("two rows %s", r.name)
		}
		names = append(names, r.name)
		if !slices.ContainsFunc(allPeers(), func(p peer) bool { return slices.Contains(p.parts, r.part) }) {
			t.Errorf("nobody takes part in %s", r.name)
		}
	}
	for _, name := range shortRows {
		if !slices.Contains(names, name) {
			t.Errorf("no row %s", name)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{nil, shortRows},
		{[]string{"-size", "0"}, []string{"forward/udp/4", "cached/2000"}},
		{[]string{"-rows", "^ndots"}, []string{"ndots/4", "ndots/400"}},
	} {
		o, err := readOptions(test.args)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range o.choose(allRows(o.size)) {
			got = append(got, r.name)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v chooses %v, want %v", test.args, got, test.want)
		}
	}
}

func TestWrongOptions(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-seconds", "0"}, {"-size", "-1"}, {"-rows", "("}, {"-peers", "("}, {"else"}} {
		if _, err := readOptions(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
