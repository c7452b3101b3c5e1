package explain

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// unready says of a name that resolves that nothing answers at its addresses: those of a service with a cluster IP stay
// when its pods go.
func (r *Report) unready(q *Question, step *Step) {
	o, s := answering(q, step)
	if s == nil {
		return
	}
	slices := fmt.Sprintf("endpointslices -l kubernetes.io/service-name=%s", o.service)
	service := "service " + o.namespace + "/" + o.service
	switch why := q.Index.Snapshot().Unready(s); {
	case why == "" || q.NoSlices:
		return
	case strings.HasPrefix(why, "0 of 0 "):
		r.Unready = service + " has no endpoints"
		r.Fix = fmt.Sprintf("Compare its selector with the labels of the pods: kubectl -n %[1]s describe service %[2]s; kubectl -n %[1]s get pods "+
			"--show-labels. Without a selector somebody has to write its slices: kubectl -n %[1]s get %[3]s", o.namespace, o.service, slices)
	default:
		r.Unready = service + " has " + why
		r.Fix = fmt.Sprintf("See why the pods are not ready: kubectl -n %[1]s describe %[2]s; kubectl -n %[1]s describe pods", o.namespace, slices)
	}
	r.Unready += ": connections will fail"
	r.Sentence += " But " + r.Unready + "."
}

// answering is the service that the last record is of, behind aliases, and its records; nil where the index has none.
func answering(q *Question, step *Step) (object, *zones.ServiceRecords) {
	owner, _, _ := strings.Cut(step.Records[len(step.Records)-1], " ")
	o, ok := objectOf(owner, q.Zone)
	if !ok || q.Index == nil {
		return o, nil
	}
	return o, recordsOf(q.Index.Snapshot(), o)
}

// recordsOf are the records of a service; nil for none.
func recordsOf(s *zones.Snapshot, o object) *zones.ServiceRecords {
	owner, err := wire.ParseName(o.service + "." + o.namespace)
	if err != nil {
		return nil
	}
	return s.Service(bytes.TrimSuffix(owner, []byte{0}))
}
