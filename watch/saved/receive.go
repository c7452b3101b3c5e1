package saved

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// MaxSize is how many octets a file has at most.
const MaxSize = maxFile

// Raw opens a file to give its octets away, and says how many they are. It looks into none of them. The caller closes it.
func Raw(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, 0, reason(err)
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > MaxSize) {
		err = errors.New("is no snapshot")
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Received is a file that has come from elsewhere, beside the path where it is to stand, which Keep puts it at.
type Received struct {
	About
	Size       int64
	path, file string
}

// Receive takes a file for path from a stream of at most limit octets, and looks whether it is whole. What stands at path
// stays. An error is a *Refusal, or that of the stream or the disk, and nothing is left then.
func Receive(path string, from io.Reader, limit int64) (r *Received, err error) {
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	removeLeft(folder, name)
	to, err := os.CreateTemp(folder, "."+name+".*"+unfinished)
	if err != nil {
		return nil, explain(err)
	}
	defer func() {
		if err != nil {
			to.Close()
			os.Remove(to.Name())
		}
	}()
	size, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(from, limit+1), make([]byte, bufferSize))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refuse(Torn, "is cut: %d octets of it have come", size)
	case errors.As(err, new(*os.PathError)):
		return nil, explain(err)
	case err != nil:
		return nil, err
	case size > limit:
		return nil, refuse(Torn, "has more than %d octets, and no snapshot is larger", limit)
	}
	if err := to.Sync(); err != nil {
		return nil, explain(err)
	}
	if err := to.Close(); err != nil {
		return nil, explain(err)
	}
	f, err := Open(to.Name())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return &Received{About: f.About, Size: size, path: path, file: to.Name()}, nil
}

// Keep puts the file at its path, in one step. After an error what stood there stays.
func (r *Received) Keep() error {
	if err := os.Rename(r.file, r.path); err != nil {
		r.Drop()
		return explain(err)
	}
	return syncFolder(filepath.Dir(r.path))
}

// Drop removes the file.
func (r *Received) Drop() { os.Remove(r.file) }
