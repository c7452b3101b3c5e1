package config

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
)

// world is what a Corefile refers to outside of itself: files, variables, network interfaces. Tests have their own.
type world struct {
	files     fs.FS  // rooted at /
	dir       string // working directory
	getenv    func(string) string
	addresses func(iface string) ([]netip.Addr, error) // of a network interface
	lenient   bool                                     // files may be missing here, since the server runs elsewhere
	shared    bool                                     // CoreDNS may read the same ConfigMap
}

func here() (*world, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return &world{files: os.DirFS("/"), dir: dir, getenv: os.Getenv, addresses: interfaceAddresses}, nil
}

// fileBytes is the most that an imported or named file may hold. A mistyped path, say to a disk image, must not fill
// the memory.
const fileBytes = 16 << 20

// read returns the content of a file. It refuses what is no regular file, since a device or a pipe may never end.
func (w *world) read(name string) ([]byte, error) {
	info, err := fs.Stat(w.files, w.rooted(name))
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	f, err := w.files.Open(w.rooted(name))
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, fileBytes+1))
	if len(content) > fileBytes {
		return nil, fmt.Errorf("larger than %d MiB", fileBytes>>20)
	}
	return content, reason(err)
}

// glob returns the files that match a pattern, in the form of the pattern: absolute, or relative to the working
// directory. Directories are left out, because a mounted ConfigMap has some of its own beside the files.
func (w *world) glob(pattern string) ([]string, error) {
	pattern = path.Clean(pattern)
	fixed := path.Dir(pattern[:strings.IndexAny(pattern+"*", "*?[")] + "x") // the folders before the first wildcard
	found, err := fs.Glob(w.files, w.rooted(pattern))
	var names []string
	for _, name := range found {
		if info, err := fs.Stat(w.files, name); err == nil && info.Mode().IsRegular() {
			names = append(names, path.Join(fixed, strings.TrimPrefix(name, w.rooted(fixed))))
		}
	}
	return names, err
}

// rooted turns a name into what fs.FS takes: from the root on, without a leading slash.
func (w *world) rooted(name string) string {
	if !path.IsAbs(name) {
		name = path.Join(w.dir, name)
	}
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

// reason strips the path from the error of a file, because messages name the file as the user wrote it.
func reason(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}

func interfaceAddresses(name string) ([]netip.Addr, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	networks, err := iface.Addrs()
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, n := range networks {
		prefix, err := netip.ParsePrefix(n.String())
		if err != nil {
			continue
		}
		address := prefix.Addr().Unmap()
		if address.Is6() && address.IsLinkLocalUnicast() {
			address = address.WithZone(name)
		}
		found = append(found, address)
	}
	return found, nil
}
