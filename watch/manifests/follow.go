package manifests

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// folderWatch is told of changes to what one reading reads.
type folderWatch struct {
	watcher *fsnotify.Watcher
	name    string          // of the folder, absolute
	folder  string          // the same without links
	paths   map[string]bool // folders that are watched, and files that links lead to
}

// watch begins to watch the folder, those in it that are read, and the nearest folder around it, where it can be
// removed, replaced and made again. A link to a file may lead elsewhere: the folder it leads to is watched too.
func (d *Folder) watch() (*folderWatch, error) {
	name, err := filepath.Abs(d.path)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.EvalSymlinks(name)
	if err != nil {
		folder = name // it does not exist yet
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &folderWatch{watcher, name, folder, map[string]bool{}}
	w.addAround(name)
	if folder != name {
		w.addAround(folder)
	}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // gone already, or not there yet: what is around it tells when it comes
		case path != folder && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == folder || entry.IsDir():
			return w.add(path)
		case entry.Type()&fs.ModeSymlink != 0 && isManifest(entry.Name()):
			if target, err := filepath.EvalSymlinks(path); err == nil {
				w.paths[target] = true
				return w.add(filepath.Dir(target))
			}
		}
		return nil
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// addAround watches the nearest folder around a path that there is. Nobody tells of one that is made nearer while one
// farther away is yet to be watched, so it is looked for afterwards.
func (w *folderWatch) addAround(path string) {
	around, nearer := filepath.Dir(path), ""
	err := w.watcher.Add(around)
	for err != nil && around != filepath.Dir(around) {
		nearer = ""
		if os.IsNotExist(err) {
			nearer = around
		}
		around = filepath.Dir(around)
		err = w.watcher.Add(around)
	}
	if _, err := os.Stat(nearer); err == nil {
		w.addAround(path)
	}
}

func (w *folderWatch) add(folder string) error {
	w.paths[folder] = true
	if err := w.watcher.Add(folder); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// concerns reports whether an event may change a reading.
func (w *folderWatch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	base := filepath.Base(e.Name)
	switch {
	case w.paths[e.Name], inside(w.name, e.Name), inside(w.folder, e.Name):
		return true // the folder, or what it is in
	case strings.HasPrefix(base, ".."):
		return true // "..data" is the link by which the files of a ConfigMap change all at once
	case !inside(e.Name, w.folder):
		return false // a neighbour
	case isManifest(base), isBuildFile(base):
		return true
	}
	info, err := os.Stat(e.Name)
	return err == nil && info.IsDir()
}

// inside reports whether a path is a folder or in it.
func inside(path, folder string) bool {
	return path == folder ||
		strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// close ends the watch; a nil one has none.
func (w *folderWatch) close() {
	if w != nil {
		_ = w.watcher.Close() // nothing depends on it any more
	}
}
