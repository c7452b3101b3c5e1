// Command chart renders deploy/chart as helm 3 does: each file of values/ with its release, on standard output.
//
//	go run . [NAME…]    the files of values/ of these names; all of them without one
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

func main() {
	log.SetFlags(0)
	names := os.Args[1:]
	if len(names) == 0 {
		files, err := filepath.Glob("values/*.yaml")
		if err != nil {
			log.Fatal(err)
		}
		for _, file := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(file), ".yaml"))
		}
	}
	for _, name := range names {
		manifest, _, err := render(filepath.Join("values", name+".yaml"))
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		fmt.Printf("# Values: %s\n%s\n", name, manifest)
	}
}

// render is the objects and the notes of a release with the values of a file.
func render(file string) (manifest, notes string, err error) {
	chart, err := loader.Load("../../deploy/chart")
	if err != nil {
		return "", "", err
	}
	values, err := chartutil.ReadValuesFile(file)
	if err != nil {
		return "", "", err
	}
	install := action.NewInstall(&action.Configuration{})
	install.DryRun, install.ClientOnly = true, true
	install.ReleaseName, install.Namespace = "dns", "kube-system"
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.36.0", Major: "1", Minor: "36"}
	release, err := install.Run(chart, values)
	if err != nil {
		return "", "", err
	}
	return release.Manifest, release.Info.Notes, nil
}
