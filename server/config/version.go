package config

import (
	"runtime/debug"
	"strings"
)

// ProgramVersion is what -version prints, what the metric coredns_build_info says, the start line, and chaos.
func ProgramVersion() (number, revision string) {
	number, revision = "dev", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			number = strings.TrimPrefix(v, "v")
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return number, revision
}
