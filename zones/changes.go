package zones

import (
	"bufio"
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Changes are what after has of namespaces and services, "+ web.shop A 10.96.0.7", and before has not, "- …": names are
// those below svc.<zone>. At most limit lines are returned, sorted by service; more is the number of the others.
func Changes(before, after *Snapshot, limit int) (lines []string, more int) {
	add := func(sign string, list []string) {
		for _, line := range list {
			if len(lines) == limit {
				more++
				continue
			}
			lines = append(lines, sign+line)
		}
	}
	add("- namespace ", missing(before.namespaceNames(), after.namespaceNames()))
	add("+ namespace ", missing(after.namespaceNames(), before.namespaceNames()))
	for _, c := range changedServices(before, after) {
		add("- ", missing(c.before.lines(), c.after.lines()))
		add("+ ", missing(c.after.lines(), c.before.lines()))
	}
	return lines, more
}

// namespaceNames are the namespaces, sorted.
func (s *Snapshot) namespaceNames() []string {
	names := s.sortedNamespaces((*namespace).exists)
	for i, label := range names {
		names[i] = labelText(label[1:])
	}
	return names
}

// missing are the lines of list that others has not.
func missing(list, others []string) (rest []string) {
	has := make(map[string]bool, len(others))
	for _, line := range others {
		has[line] = true
	}
	return slices.DeleteFunc(list, func(line string) bool { return has[line] })
}

// changedService is a service before and after; nil where it does not exist.
type changedService struct{ before, after *ServiceRecords }

// changedServices are the services that were published anew, by namespace and name.
func changedServices(before, after *Snapshot) (list []changedService) {
	after.services.each(func(r *ServiceRecords) bool {
		if old := before.services.get([]byte(r.owner)); old != r {
			list = append(list, changedService{old, r})
		}
		return true
	})
	before.services.each(func(r *ServiceRecords) bool {
		if after.services.get([]byte(r.owner)) == nil {
			list = append(list, changedService{r, nil})
		}
		return true
	})
	slices.SortFunc(list, func(a, b changedService) int {
		nameA, spaceA := cmp.Or(a.after, a.before).split()
		nameB, spaceB := cmp.Or(b.after, b.before).split()
		return cmp.Or(cmp.Compare(spaceA, spaceB), cmp.Compare(nameA, nameB))
	})
	return list
}

// relative stands for svc.<zone> in lines, until it is cut off: no target of a record can end in it.
const relative = "*"

// lines are the records of a service, and why it has none.
func (r *ServiceRecords) lines() (list []string) {
	if r == nil {
		return nil
	}
	var b bytes.Buffer
	w := &text{Writer: bufio.NewWriter(&b), below: relative}
	w.service(r)
	_ = w.Flush() // a buffer takes it
	for line := range strings.Lines(b.String()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "; ")
		if strings.HasSuffix(line, "exists, without records") {
			continue
		}
		line = strings.ReplaceAll(strings.Replace(line, " 0 IN ", " ", 1), "."+relative, "")
		list = append(list, line)
	}
	return list
}
