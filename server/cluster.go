package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// clusterTimeout is how long a cluster, or manifests, may take to be read by a command.
const clusterTimeout = time.Minute

// readCluster reads a cluster or manifests once, for a command. What is wrong with objects goes to log.
func readCluster(ctx context.Context, options watch.Options, log *slog.Logger) (*zones.Index, *watch.Counters, error) {
	index := zones.NewIndex()
	source, err := watch.New(options, index, log)
	if err != nil {
		return nil, nil, err
	}
	reading := start(ctx, source.Run)
	defer reading.stop()
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	if err := source.Wait(ctx, options.Required()); err != nil {
		what := "the cluster"
		if options.Manifests != "" {
			what = options.Manifests
		}
		return nil, nil, errors.New(what + " could not be read; see above")
	}
	counters := source.Counters()
	return index, &counters, nil
}

// manifestsIn is a folder with the manifests of paths: a folder alone is itself, files and standard input, "-", are
// copied. Call remove when they have been read.
func (c *console) manifestsIn(paths []string) (folder string, remove func(), err error) {
	remove = func() {}
	if len(paths) == 1 && paths[0] != "-" {
		info, err := os.Stat(paths[0])
		if err != nil {
			return "", remove, fmt.Errorf("-f: %s cannot be read: %w", paths[0], errors.Unwrap(err))
		}
		if info.IsDir() {
			return paths[0], remove, nil
		}
	}
	if folder, err = os.MkdirTemp("", "clusterdns-"); err != nil {
		return "", remove, err
	}
	remove = func() { os.RemoveAll(folder) }
	c.err = &without{c.err, folder + string(filepath.Separator)}
	for i, path := range paths {
		if err = c.copyManifest(path, folder, i); err != nil {
			remove()
			return "", func() {}, err
		}
	}
	return folder, remove, nil
}

func (c *console) copyManifest(path, folder string, number int) error {
	content, err := []byte(nil), error(nil)
	name := filepath.Base(path)
	if path == "-" {
		name = "stdin.yaml"
		content, err = io.ReadAll(c.in)
	} else {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return fmt.Errorf("-f: %s cannot be read: %w", path, errors.Unwrap(err))
	}
	if number > 0 {
		folder = filepath.Join(folder, fmt.Sprint(number))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
	}
	if extension := filepath.Ext(name); extension != ".yaml" && extension != ".yml" && extension != ".json" {
		name += ".yaml"
	}
	return os.WriteFile(filepath.Join(folder, name), content, 0o600)
}

// without writes to a writer, and leaves out the name of a folder that the user has not chosen.
type without struct {
	to     io.Writer
	folder string
}

func (w *without) Write(p []byte) (int, error) {
	_, err := w.to.Write(bytes.ReplaceAll(p, []byte(w.folder), nil))
	return len(p), err
}

// several is a flag that may be given several times.
type several []string

func (s *several) String() string { return strings.Join(*s, " ") }

func (s *several) Set(word string) error {
	*s = append(*s, word)
	return nil
}
