package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// How long it may take to read manifests, or a cluster.
const (
	manifestsTimeout = 30 * time.Second
	clusterTimeout   = time.Minute
)

// origin is where a command reads objects from: manifests, or where there are none a cluster.
type origin struct {
	manifests  string // a folder, a file, or - for standard input
	kubeconfig string // "" for the one that kubectl takes
	context    string // of kubeconfig; "" for its current one
	pods       bool   // names of pods are wanted
}

// reading is what was read of an origin, once.
type reading struct {
	index    *zones.Index
	options  watch.Options
	counters watch.Counters
}

// readCluster reads an origin. Mistakes in objects go to stderr.
func (c *console) readCluster(ctx context.Context, o origin) (*reading, error) {
	options, remove, err := c.openOrigin(o)
	if err != nil {
		return nil, err
	}
	defer remove()
	index := zones.NewIndex()
	source, err := watch.New(options, index, slog.New(logs.NewHandler(c.err, slog.LevelWarn)))
	if err != nil {
		return nil, err
	}
	following := start(ctx, source.Run)
	defer following.stop()
	what, timeout := o.manifests, manifestsTimeout
	if what == "" {
		what, timeout = "the cluster", clusterTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := source.Wait(ctx, options.Required()); err != nil {
		return nil, errors.New(what + " could not be read; see above")
	}
	return &reading{index, options, source.Counters()}, nil
}

// openOrigin is the options of an origin's source. A single file stands alone in a folder, which remove deletes.
func (c *console) openOrigin(o origin) (options watch.Options, remove func(), err error) {
	options.VerifyPods = o.pods
	remove = func() {}
	if o.manifests == "" {
		options.Kubeconfig, options.Context = cmp.Or(o.kubeconfig, standardKubeconfig()), o.context
		return options, remove, nil
	}
	var text []byte
	name := "stdin.yaml"
	if o.manifests == "-" {
		text, err = io.ReadAll(c.in)
	} else {
		info, failed := os.Stat(o.manifests)
		if failed == nil && info.IsDir() {
			options.Manifests = o.manifests
			return options, remove, nil
		}
		name = filepath.Base(o.manifests)
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			name += ".yaml"
		}
		text, err = os.ReadFile(o.manifests)
	}
	if err != nil {
		return options, remove, fmt.Errorf("-f: %s cannot be read: %w", o.manifests, reason(err))
	}
	if options.Manifests, err = os.MkdirTemp("", "clusterdns-"); err != nil {
		return options, remove, err
	}
	remove = func() { os.RemoveAll(options.Manifests) }
	if err := os.WriteFile(filepath.Join(options.Manifests, name), text, 0o600); err != nil {
		remove()
		return options, nil, err
	}
	return options, remove, nil
}

// reason is err without the path, which the caller has named.
func reason(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
