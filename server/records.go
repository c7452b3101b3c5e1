package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// records prints every record that manifests imply. What is wrong with them goes to stderr.
func (c *console) records(arguments []string) error {
	flags := flag.NewFlagSet("clusterdns records", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("f", "", "directory of manifests")
	zone := flags.String("zone", "cluster.local.", "cluster domain")
	ttl := flags.Duration("ttl", 5*time.Second, "TTL of the records")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return errors.New("clusterdns records: -f DIR says where the manifests are")
	}
	if info, err := os.Stat(*dir); err != nil || !info.IsDir() {
		return fmt.Errorf("clusterdns records: -f %s is not a folder that can be read", *dir)
	}
	options := watch.Options{Manifests: *dir, VerifyPods: true}
	index := zones.NewIndex()
	source, err := watch.New(options, index, slog.New(NewLogHandler(c.err, slog.LevelWarn)))
	if err != nil {
		return err
	}
	reading := start(context.Background(), source.Run)
	defer reading.stop()
	ctx, cancel := context.WithTimeout(context.Background(), manifestsTimeout)
	defer cancel()
	if err := source.Wait(ctx, options.Required()); err != nil {
		return errors.New("clusterdns records: " + *dir + " could not be read; see above")
	}
	if err := index.Snapshot().WriteText(c.out, strings.TrimSuffix(*zone, ".")+".", uint32(ttl.Seconds())); err != nil {
		return err
	}
	if n := source.Counters().Problems; n > 0 {
		return fmt.Errorf("clusterdns records: %d mistakes in the manifests; see above", n)
	}
	return nil
}

// manifestsTimeout is how long manifests may take to read.
const manifestsTimeout = 30 * time.Second
