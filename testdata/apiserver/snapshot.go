package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A snapshot is the data directory of etcd as a compressed tar file, taken
// while nothing runs on it. It holds all objects with their resource versions,
// so an API server started on it is one that went back in time.

// runSnapshot saves the etcd data of a stopped API server.
func runSnapshot(args []string) error {
	flags := newFlags("apiserver snapshot")
	dir := flags.String("dir", "", "directory of a stopped API server")
	to := flags.String("to", "", "file to write")
	if err := parse(flags, args, "dir", "to"); err != nil {
		return err
	}
	file, err := filepath.Abs(*to)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(*dir, etcdDir)); err != nil {
		return err
	}
	unlock, err := enter(*dir)
	if err != nil {
		return err
	}
	defer unlock()

	out, err := os.Create(file + ".new")
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pack(out, etcdDir); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// runRestore replaces the etcd data of a stopped API server. Certificates,
// tokens and address stay, so that clients of the server find it again.
func runRestore(args []string) error {
	flags := newFlags("apiserver restore")
	from := flags.String("from", "", "file of a snapshot")
	dir := flags.String("dir", "", "directory of a stopped API server; made if missing")
	if err := parse(flags, args, "from", "dir"); err != nil {
		return err
	}
	in, err := os.Open(*from)
	if err != nil {
		return err
	}
	defer in.Close()
	unlock, err := enter(*dir)
	if err != nil {
		return err
	}
	defer unlock()

	restored := etcdDir + ".new"
	if err := os.RemoveAll(restored); err != nil {
		return err
	}
	if err := unpack(in, restored); err != nil {
		return fmt.Errorf("%s: %w", *from, err)
	}
	if err := os.RemoveAll(etcdDir); err != nil {
		return err
	}
	return os.Rename(restored, etcdDir)
}

// pack writes the files below dir to out.
func pack(out io.Writer, dir string) error {
	// The log of etcd is 64 MB of mostly zeros: the fastest level makes
	// next to nothing of it.
	compressed, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	return errors.Join(archive.AddFS(os.DirFS(dir)), archive.Close(), compressed.Close())
}

// unpack writes the files of a snapshot below dir, which it makes.
func unpack(in io.Reader, dir string) error {
	compressed, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(compressed)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(root, header, archive); err != nil {
			return err
		}
	}
}

// unpackEntry writes one file or directory of a snapshot.
func unpackEntry(root *os.Root, header *tar.Header, in io.Reader) error {
	mode := header.FileInfo().Mode()
	if mode.IsDir() {
		return root.MkdirAll(filepath.Clean(header.Name), 0o700)
	}
	if !mode.IsRegular() {
		return fmt.Errorf("%s: %w", header.Name, fs.ErrInvalid)
	}
	file, err := root.OpenFile(header.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, in); err != nil {
		return err
	}
	return file.Close()
}
