package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// manifestsIn is a folder with the manifests of paths: a folder alone is itself; files, standard input, "-", and several
// folders are copied. Call remove when they have been read.
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
	for i, path := range paths {
		copied := filepath.Join(folder, fmt.Sprint(i))
		if err = c.copyManifests(path, copied); err != nil {
			remove()
			return "", func() {}, err
		}
		c.err = &without{c.err, copied + string(filepath.Separator), original(path)}
	}
	return folder, remove, nil
}

// original is what a path of manifests begins with in what is said of them.
func original(path string) string {
	switch info, err := os.Stat(path); {
	case path == "-":
		return ""
	case err == nil && info.IsDir():
		return filepath.Clean(path) + string(filepath.Separator)
	}
	folder, _ := filepath.Split(path)
	return folder
}

func (c *console) copyManifests(path, folder string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if err := os.CopyFS(folder, os.DirFS(path)); err != nil {
			return fmt.Errorf("-f: %s cannot be read: %w", path, err)
		}
		return nil
	}
	content, err := []byte(nil), error(nil)
	name := filepath.Base(path)
	if path == "-" {
		name = "stdin.yaml"
		content, err = io.ReadAll(c.in)
	} else {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err
		}
		return fmt.Errorf("-f: %s cannot be read: %w", path, err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if extension := filepath.Ext(name); extension != ".yaml" && extension != ".yml" && extension != ".json" {
		name += ".yaml"
	}
	return os.WriteFile(filepath.Join(folder, name), content, 0o600)
}

// without writes to a writer, with what the user wrote in the place of a folder that was made for it.
type without struct {
	to             io.Writer
	folder, chosen string
}

func (w *without) Write(p []byte) (int, error) {
	_, err := w.to.Write(bytes.ReplaceAll(p, []byte(w.folder), []byte(w.chosen)))
	return len(p), err
}

// several is a flag that may be given several times.
type several []string

func (s *several) String() string { return strings.Join(*s, " ") }

func (s *several) Set(word string) error {
	*s = append(*s, word)
	return nil
}
