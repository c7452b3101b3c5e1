package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterdns/clusterdns/server/config"
)

// writeOverlays writes two overlays for kustomize, and says what to do with them.
func (o *migrating) writeOverlays(out io.Writer, m *config.Migration) error {
	beside, join := filepath.Join(o.dir, "beside", "kustomization.yaml"), filepath.Join(o.dir, "join", "kustomization.yaml")
	base, why, err := o.baseFrom(filepath.Dir(beside))
	if err != nil {
		return fmt.Errorf("-base: %w", err)
	}
	files := map[string]string{beside: o.beside(m, base), join: o.join()}
	if err := replaceFiles(files, o.force); err != nil {
		return fmt.Errorf("-o kustomize: %w", err)
	}
	fmt.Fprintf(out, "Written\n  %s: clusterdns beside CoreDNS, behind a Service of its own\n"+
		"  %s: the same pods, behind the Service of CoreDNS too\n  Their base is %s, %s.\n", beside, join, base, why)
	if o.image == "" {
		fmt.Fprintf(out, "  Name your image in %s, or give -image NAME:TAG.\n", beside)
	}
	_, err = io.WriteString(out, o.next(m))
	return err
}

// replaceFiles writes each file whole or not at all. Without force it writes none if one of them is there with another
// content, because somebody may have edited it.
func replaceFiles(files map[string]string, force bool) error {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		there, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case string(there) != files[name]:
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 && !force {
		return fmt.Errorf("%s: there already, with other content, so nothing is written; -force overwrites", strings.Join(changed, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeWhole(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// writeWhole puts a file in its place when all of it is written, so that kustomize never reads half of it.
func writeWhole(name, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".clusterdns-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// baseFrom is the base as the overlay in dir names it, and which one that is.
func (o *migrating) baseFrom(dir string) (base, why string, err error) {
	base, why = o.base, "as -base says"
	if base == "" {
		if base, why = filepath.Join("deploy", "base"), "in this folder"; !exists(filepath.Join(base, "kustomization.yaml")) {
			base, why = publishedBase(config.ProgramVersion())
			return base, why, nil
		}
	}
	if remote.MatchString(base) {
		return base, why, nil
	}
	if !exists(filepath.Join(base, "kustomization.yaml")) {
		return "", "", fmt.Errorf("%s has no kustomization.yaml; a base that is not in a folder is a URL", base)
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	to, err := filepath.Abs(base)
	if err != nil {
		return "", "", err
	}
	path, err := filepath.Rel(from, to)
	return filepath.ToSlash(path), why, err
}

// remote is what kustomize takes for the name of a repository.
var remote = regexp.MustCompile(`://|^git@|^github\.com/|[?&]ref=`)

// publishedBase is where the base is if it is not in a folder here: that of the same release, or else of the same commit.
func publishedBase(number, revision string) (base, why string) {
	const repository = "https://github.com/clusterdns/clusterdns//deploy/base?ref="
	switch {
	case release.MatchString(number):
		return repository + "v" + number, "that of this version of clusterdns"
	case revision != "unknown":
		return repository + revision, "that of the commit that this program was built from"
	}
	return repository + "main", "which changes as the branch main does, because this program was built without a version; " +
		"-base DIR names one that stays"
}

// release is the number of a tag. A pseudo-version, which Go gives to what has none, ends with a time and a commit.
var release = regexp.MustCompile(`^\d+\.\d+\.\d+(-(alpha|beta|rc)[.0-9]*)?$`)

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// next is what to do with the overlays, in the order of docs/migrate.md.
func (o *migrating) next(m *config.Migration) string {
	var b strings.Builder
	step := func(sentence string, commands ...string) {
		fmt.Fprintf(&b, "\n%s\n", sentence)
		for _, c := range commands {
			fmt.Fprintf(&b, "  %s\n", c)
		}
	}
	kubectl := "kubectl -n " + m.Namespace + " "
	apply := func(overlay string) string { return "kubectl apply -k " + filepath.Join(o.dir, overlay) }
	rollout := kubectl + "rollout status deployment/clusterdns"
	service, coredns := m.InPlace()
	step("1. Try: clusterdns runs beside CoreDNS. No client asks it yet.", apply("beside"), rollout)
	step("2. Check: ask both servers the same questions, and see where the answers differ.",
		fmt.Sprintf("%sport-forward %s 5301:%d &", kubectl, coredns, dnsPortOf(m)),
		fmt.Sprintf("%sport-forward deployment/clusterdns 5302:%d &", kubectl, dnsPortOf(m)),
		"clusterdns compare -tcp -a 127.0.0.1:5301 -b 127.0.0.1:5302 -from-cluster")
	selector := filepath.Join(o.dir, "selector.json")
	patch := func(value string) string {
		return kubectl + "patch service " + service + ` --type=json -p '[{"op":"replace","path":"/spec/selector","value":` + value + `}]'`
	}
	switch {
	case m.Distribution.Foreign:
		step("3. Switch: the Service "+service+" selects clusterdns instead of CoreDNS. All queries go to clusterdns from here on.",
			kubectl+"get service "+service+" -o jsonpath='{.spec.selector}' > "+selector,
			patch(`{"app.kubernetes.io/name":"clusterdns"}`))
		step("4. Back: the Service selects what it did before.", patch(`'"$(cat `+selector+`)"'`))
	case m.Distribution.Stays:
		step("3. Switch: clusterdns joins the Service "+service+". It answers a share of the queries from here on, CoreDNS the others.",
			apply("join"), rollout)
		step("4. Back: clusterdns leaves the Service.", apply("beside"))
	default:
		step("3. Switch: clusterdns joins the Service "+service+", and CoreDNS ends. Clients ask clusterdns from the first line on.",
			apply("join"), rollout, kubectl+"scale "+coredns+" --replicas=0")
		step("4. Back: CoreDNS starts again, and clusterdns leaves the Service.",
			kubectl+"scale "+coredns+" --replicas=2", kubectl+"rollout status "+coredns, apply("beside"))
	}
	return b.String()
}

// patches are lines of a JSON patch.
type patches []string

func (p *patches) add(format string, values ...any) { *p = append(*p, fmt.Sprintf(format, values...)) }

// target is a patch of one object.
func (p patches) target(b *strings.Builder, kind, name string) {
	if len(p) == 0 {
		return
	}
	fmt.Fprintf(b, "- target: {kind: %s, name: %s}\n  options: {allowNameChange: true}\n  patch: |-\n", kind, name)
	for _, line := range p {
		b.WriteString("    - {" + line + "}\n")
	}
}

// beside is the overlay of clusterdns behind a Service of its own. The Service in place stays as it is.
func (o *migrating) beside(m *config.Migration, base string) string {
	var b strings.Builder
	b.WriteString("# Written by clusterdns migrate: clusterdns beside CoreDNS, behind the Service clusterdns.\n" +
		"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
	if m.Namespace != "kube-system" {
		fmt.Fprintf(&b, "namespace: %s\n", m.Namespace)
	}
	fmt.Fprintf(&b, "resources:\n- %s\n", base)
	if o.image != "" {
		name, tag, _ := cutTag(o.image)
		fmt.Fprintf(&b, "images:\n- {name: clusterdns, newName: %s, newTag: %q}\n", name, cmp.Or(tag, "latest"))
	}
	b.WriteString("patches:\n")
	shared := m.ConfigMap != "" && o.shadow == ""
	deploymentPatch(m, shared).target(&b, "Deployment", "clusterdns")
	patches{"op: remove, path: /spec/selector/matchLabels/k8s-app"}.target(&b, "PodDisruptionBudget", "clusterdns")
	servicePatch(m).target(&b, "Service", "kube-dns")
	if shared {
		b.WriteString("- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: clusterdns, namespace: kube-system}\n" +
			"    $patch: delete # the Corefile is CoreDNS's\n")
	} else {
		own := patches{"op: replace, path: /data/Corefile, value: " + strconv.Quote(m.Corefile)}
		for _, name := range slices.Sorted(maps.Keys(m.Beside)) {
			own.add("op: add, path: /data/%s, value: %s", name, strconv.Quote(m.Beside[name]))
		}
		own.target(&b, "ConfigMap", "clusterdns")
	}
	return b.String()
}

// cutTag splits the name of an image from its tag.
func cutTag(image string) (name, tag string, found bool) {
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i+1:], true
	}
	return image, "", false
}

// deploymentPatch mounts the ConfigMaps, that of CoreDNS if it is shared, and fits labels, ports and probes to the Corefile.
func deploymentPatch(m *config.Migration, shared bool) (p patches) {
	const spec, container = "/spec/template/spec", "/spec/template/spec/containers/0"
	p.add("op: remove, path: /spec/selector/matchLabels/k8s-app")
	p.add("op: replace, path: /spec/template/metadata/labels/k8s-app, value: clusterdns")
	for i := range 2 {
		p.add("op: remove, path: %s/topologySpreadConstraints/%d/labelSelector/matchLabels/k8s-app", spec, i)
	}
	if shared {
		p.add("op: replace, path: %s/volumes/0/configMap/name, value: %s", spec, m.ConfigMap)
	}
	if m.Custom != "" {
		p.add("op: add, path: %s/volumes/-, value: {name: custom, configMap: {name: %s, optional: true}}", spec, m.Custom)
		p.add("op: add, path: %s/volumeMounts/-, value: {name: custom, mountPath: /etc/coredns/custom, readOnly: true}", container)
	}
	for i, name := range []string{"udp-53", "tcp-53"} {
		if m.Distribution.Ports { // by which the Service in place finds them
			p.add("op: replace, path: %s/ports/%d/name, value: %s", container, i, name)
		}
		if port := dnsPortOf(m); port != 53 {
			p.add("op: replace, path: %s/ports/%d/containerPort, value: %d", container, i, port)
		}
	}
	p.probe(container, "livenessProbe", 3, 8080, m.Report.Config.Health.Addresses)
	p.probe(container, "readinessProbe", 4, 8181, m.Report.Config.Ready.Addresses)
	return p
}

// probe removes a probe whose endpoint the Corefile does not have, or moves it to its port. index is that of the port in the
// base, which has it at standard.
func (p *patches) probe(container, name string, index, standard int, addresses []string) {
	if len(addresses) == 0 {
		p.add("op: remove, path: %s/%s", container, name)
		return
	}
	if _, port, err := net.SplitHostPort(addresses[0]); err == nil && port != strconv.Itoa(standard) {
		p.add("op: replace, path: %s/ports/%d/containerPort, value: %s", container, index, port)
	}
}

// servicePatch makes the Service of the base one of clusterdns alone.
func servicePatch(m *config.Migration) (p patches) {
	p.add("op: replace, path: /metadata/name, value: clusterdns")
	p.add("op: replace, path: /metadata/labels, value: {app.kubernetes.io/name: clusterdns}")
	p.add("op: remove, path: /spec/clusterIP")
	p.add("op: replace, path: /spec/selector, value: {app.kubernetes.io/name: clusterdns}")
	for i := range 2 {
		p.add("op: replace, path: /spec/ports/%d/targetPort, value: %d", i, dnsPortOf(m))
	}
	return p
}

// join is the overlay whose pods the Service in place finds too.
func (o *migrating) join() string {
	return "# Written by clusterdns migrate: the pods of ../beside get the label by which the Service kube-dns finds CoreDNS.\n" +
		"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- ../beside\npatches:\n" +
		"- target: {kind: Deployment, name: clusterdns}\n  patch: |-\n" +
		"    - {op: replace, path: /spec/template/metadata/labels/k8s-app, value: kube-dns}\n"
}

// dnsPortOf is the port that most names are asked at: that of the root, or the first.
func dnsPortOf(m *config.Migration) uint16 {
	port := uint16(53)
	for i, l := range m.Report.Config.Listeners {
		for _, b := range l.Blocks {
			if i == 0 || slices.Contains(b.Steps.Zones, ".") {
				port = l.Addresses[0].Port()
			}
		}
	}
	return port
}
