package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing/fstest" // a folder in memory

	"go.yaml.in/yaml/v3"
)

// mountPoint is where a pod has the ConfigMap with the Corefile. Those beside it are in the folder custom below it,
// where distributions import them from.
const mountPoint = "/etc/coredns"

// Check reads the Corefile of the settings as far as that can be done where the server does not run: a file that is not
// here is a warning. The Corefile may be the YAML or JSON of ConfigMaps, one or a List of them.
func Check(s Settings, stdin io.Reader) (*Report, error) {
	content, err := corefile(s.Conf, stdin)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Conf, reason(err))
	}
	w, err := here()
	if err != nil {
		return nil, err
	}
	w.lenient = true
	w.addresses = addressesElsewhere(w.addresses)
	if !hasConfigMap.Match(content) {
		return w.examine(s.Conf, content, s), nil
	}
	maps, err := configMaps(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Conf, err)
	}
	files, err := mount(maps)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Conf, err)
	}
	name := path.Join(mountPoint, "Corefile")
	return w.pod(files).besideCoreDNS(maps).examine(name, files[name[1:]].Data, s), nil
}

// hasConfigMap is what no Corefile has, and what is read as YAML has.
var hasConfigMap = regexp.MustCompile(`(?m)(^|[{,])\s*"?(kind"?:\s*"?[A-Z][A-Za-z]*"?\s*([,}]|$)|apiVersion"?:|Corefile"?:\s*([|>"]|$))`)

// configMap is what is read of a ConfigMap, or of a List of them.
type configMap struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data  map[string]string
	Items []configMap
}

// configMaps reads all documents.
func configMaps(content []byte) (all []configMap, err error) {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var m configMap
		if err := documents.Decode(&m); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		for _, m := range append([]configMap{m}, m.Items...) {
			if m.Kind == "ConfigMap" || m.Kind == "" && m.Data != nil {
				all = append(all, m)
			}
		}
	}
}

// mount puts the keys where the pod has them as files, with those that the kubelet gives each pod.
func mount(maps []configMap) (fstest.MapFS, error) {
	files := fstest.MapFS{
		"etc/resolv.conf": {Data: []byte("nameserver 192.0.2.1\n")},
		"etc/hosts":       {},
	}
	hasCorefile := func(m configMap) bool { _, has := m.Data["Corefile"]; return has }
	first := slices.IndexFunc(maps, hasCorefile)
	if first < 0 {
		return nil, errors.New("no ConfigMap here has a key Corefile: give it too, as in " +
			"kubectl get cm coredns coredns-custom -o yaml")
	}
	for i, m := range maps {
		folder := path.Join(mountPoint, "custom")[1:]
		switch {
		case i == first:
			folder = mountPoint[1:]
		case hasCorefile(m):
			return nil, fmt.Errorf("ConfigMaps %s and %s both have a key Corefile: give one of them",
				maps[first].Metadata.Name, m.Metadata.Name)
		}
		for key, text := range m.Data {
			files[path.Join(folder, key)] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return files, nil
}

// pod is the world of a pod with these files. What else it has is not known here.
func (w *world) pod(files fs.FS) *world {
	return &world{files: files, dir: "/", getenv: w.getenv, lenient: true,
		addresses: addressesElsewhere(func(string) ([]netip.Addr, error) { return nil, interfaceElsewhere{} })}
}

// besideCoreDNS says whether CoreDNS may read these ConfigMaps too. Those of our own chart and base are called clusterdns.
func (w *world) besideCoreDNS(maps []configMap) *world {
	w.shared = slices.ContainsFunc(maps, func(m configMap) bool {
		_, has := m.Data["Corefile"]
		return has && !strings.Contains(m.Metadata.Name, "clusterdns")
	})
	return w
}

// addressesElsewhere takes what may be the name of a network interface, and is none here, for one where the server
// runs. What looks like an address is a mistake in one.
func addressesElsewhere(here func(string) ([]netip.Addr, error)) func(string) ([]netip.Addr, error) {
	return func(name string) ([]netip.Addr, error) {
		found, err := here(name)
		if err != nil && name != "" && !strings.Contains(name, ":") && (name[0] < '0' || name[0] > '9') {
			err = interfaceElsewhere{}
		} else if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("no network interface")
		}
		return found, err
	}
}

// interfaceElsewhere is the error of a network interface that is looked for where the server does not run.
type interfaceElsewhere struct{}

func (interfaceElsewhere) Error() string        { return "no network interface of this name is here" }
func (interfaceElsewhere) Is(target error) bool { return target == fs.ErrNotExist }
