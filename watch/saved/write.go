package saved

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Write puts a file with all objects of sections at path, in one step: until it is whole and on the disk, what stood there
// before stays, and it stays after an error. It needs the objects to stay as they are, and some 64 KiB of memory besides.
func Write(path string, about About, sections []Section) (size int64, err error) {
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	removeLeft(folder, name)
	f, err := os.CreateTemp(folder, "."+name+".*"+unfinished)
	if err != nil {
		return 0, explain(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = explain(err)
		}
	}()
	w := newWriter(f)
	if err = w.write(about, sections); err != nil {
		return 0, err
	}
	if size, err = w.finish(f); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = f.Close(); err != nil { // some file systems say only here that there is no room
		return 0, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return size, syncFolder(folder)
}

// unfinished ends the name of a file that is being written.
const unfinished = ".new"

// removeLeft removes what a process has left that was killed while it wrote. Another process may be writing now, which
// takes no hour.
func removeLeft(folder, name string) {
	left, _ := filepath.Glob(filepath.Join(folder, "."+name+".*"+unfinished)) // a name with [ finds nothing, or less
	for _, file := range left {
		if info, err := os.Lstat(file); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(file)
		}
	}
}

// syncFolder has the disk keep the name of a file too.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // there are file systems that cannot
		return err
	}
	return nil
}

// explain says what to do about an error of writing.
func explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = ": make room, it takes twice its size while it is written"
	case errors.Is(err, syscall.EROFS):
		hint = ": mount an emptyDir or a hostPath there"
	case errors.Is(err, os.ErrNotExist):
		hint = ": the folder does not exist, mount an emptyDir or a hostPath there"
	case errors.Is(err, os.ErrPermission):
		hint = fmt.Sprintf(": give the folder to user %d, by fsGroup or chown", os.Getuid())
	}
	return fmt.Errorf("%w%s", reason(err), hint)
}
