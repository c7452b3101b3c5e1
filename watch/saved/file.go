package saved

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// A file is
//
//	8 octets   magic
//	8 octets   layout of the objects (object.Layout): that of another program is another version
//	records    a uvarint with the length, and so many octets:
//	           first About, in JSON;
//	           then for each kind one record with its number as a uvarint, and one for each of its objects (object.Append),
//	           which follow a uvarint 0 that tells them from a kind;
//	           last an empty record
//	32 octets  SHA-256 of all that stands before

const magic = "cdnssnap"

// The bounds of a file, so that a damaged or foreign one costs little.
const (
	// maxFile is some fifty times the file of 10,000 services with 155,000 endpoints.
	maxFile = 512 << 20
	// maxRecord is more than an object of the largest size that etcd takes, 1.5 MiB, has left once it is stripped.
	maxRecord = 4 << 20
	headSize  = len(magic) + 8
)

// About says what the objects of a file are of.
type About struct {
	Cluster   string    `json:"cluster"`   // UID of namespace kube-system
	Server    string    `json:"server"`    // host of the API server, with its port
	Authority string    `json:"authority"` // digest of the certificates that the API server is known by
	Selection string    `json:"selection"` // digest of what is kept of which objects
	At        time.Time `json:"at"`        // when the cluster was known to have them
	Serial    uint32    `json:"serial"`    // SOA serial of what was served

	Places []zones.Where `json:"places,omitempty"` // what the numbers of places in the objects mean
}

// Reason is why a file is refused.
type Reason string

// The reasons.
const (
	Torn       Reason = "torn"       // its checksum is not that of its content
	Version    Reason = "version"    // it is of a program with other types
	Invalid    Reason = "invalid"    // it has an object that no cluster has
	Old        Reason = "old"        // older than it may be
	Cluster    Reason = "cluster"    // of another cluster
	Options    Reason = "options"    // of other options
	Unreadable Reason = "unreadable" // it cannot be read, or not in time
)

// Reasons are all of them.
var Reasons = []Reason{Torn, Version, Invalid, Old, Cluster, Options, Unreadable}

// Refusal is why a file is not taken.
type Refusal struct {
	Reason
	Words string
}

func (r *Refusal) Error() string { return r.Words }

func refuse(reason Reason, format string, values ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, values...)}
}

// File is a whole file that may be read.
type File struct {
	About
	Size int64
	file *os.File
	from *bufio.Reader // behind About
	data []byte        // scratch: a record
}

// Open opens a file, and reads all of it once to know that it is whole. An error is a *Refusal, or one of
// fs.ErrNotExist. The caller closes the File.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return nil, refuse(Unreadable, "cannot be read: %v", reason(err))
	}
	file := &File{file: f}
	if err := file.verify(); err != nil {
		f.Close()
		return nil, err
	}
	return file, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

func (f *File) verify() error {
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return refuse(Unreadable, "cannot be read: %v", reason(err))
	case !info.Mode().IsRegular():
		return refuse(Unreadable, "is no file")
	case info.Size() > maxFile:
		return refuse(Torn, "has %d octets, and no snapshot is larger than %d", info.Size(), maxFile)
	}
	f.Size = info.Size()
	var head [headSize]byte
	if _, err := f.file.ReadAt(head[:], 0); err != nil || string(head[:len(magic)]) != magic {
		return refuse(Torn, "is no snapshot, or cut")
	}
	if layout := object.Layout(); !bytes.Equal(head[len(magic):], layout[:]) {
		return refuse(Version, "was written by another version of this program")
	}
	if err := f.checksum(); err != nil {
		return err
	}
	body := io.NewSectionReader(f.file, int64(headSize), f.Size-sha256.Size-int64(headSize))
	f.from = bufio.NewReaderSize(body, bufferSize)
	about, err := f.record()
	if err != nil || json.Unmarshal(about, &f.About) != nil {
		return refuse(Torn, "has no beginning")
	}
	return nil
}

// bufferSize is what reading and writing have in memory besides one record.
const bufferSize = 64 << 10

func (f *File) checksum() error {
	if f.Size < int64(headSize+sha256.Size) {
		return refuse(Torn, "is cut")
	}
	var want [sha256.Size]byte
	sum := sha256.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{sum}, io.NewSectionReader(f.file, 0, f.Size-sha256.Size), make([]byte, bufferSize))
	if err == nil {
		_, err = f.file.ReadAt(want[:], f.Size-sha256.Size)
	}
	switch {
	case err != nil:
		return refuse(Unreadable, "cannot be read: %v", reason(err))
	case !bytes.Equal(sum.Sum(nil), want[:]):
		return refuse(Torn, "is cut or damaged: its checksum is wrong")
	}
	return nil
}

// record is the next record, until the next call.
func (f *File) record() ([]byte, error) {
	size, err := binary.ReadUvarint(f.from)
	if err != nil || size > maxRecord {
		return nil, refuse(Torn, "has a record that is too long, or none")
	}
	if uint64(cap(f.data)) < size {
		f.data = make([]byte, size)
	}
	f.data = f.data[:size]
	if _, err := io.ReadFull(f.from, f.data); err != nil {
		return nil, refuse(Torn, "ends within a record")
	}
	return f.data, nil
}

// batch is how many objects are handed over at a time.
const batch = 256

// Each hands over all objects, some of one kind at a time, while they are read. take must not keep the list. An error is
// that of take, or a *Refusal.
func (f *File) Each(take func(kind zones.Kinds, list []object.Object) error) error {
	var kind zones.Kinds
	list := make([]object.Object, 0, batch)
	flush := func() (err error) {
		if len(list) > 0 {
			err = take(kind, list)
		}
		list = list[:0]
		return err
	}
	for {
		data, err := f.record()
		if err != nil {
			return err
		}
		if len(data) > 0 && data[0] == 0 {
			o, err := object.Parse(kind, string(data[1:])) // one allocation for all texts of the object
			if err != nil {
				return refuse(Invalid, "has an object that is none: %v", err)
			}
			if list = append(list, o); len(list) < batch {
				continue
			}
		}
		if err := flush(); err != nil {
			return err
		}
		switch number, size := binary.Uvarint(data); {
		case len(data) == 0:
			if _, err := f.from.ReadByte(); err != io.EOF {
				return refuse(Torn, "goes on behind its end")
			}
			return nil
		case data[0] == 0:
		case size != len(data) || number != uint64(zones.Kinds(number)):
			return refuse(Torn, "has a kind of objects that is none")
		default:
			kind = zones.Kinds(number)
		}
	}
}

// writer writes what Open reads.
type writer struct {
	to   *bufio.Writer // to the file and the checksum
	sum  hash.Hash
	size int64
	data []byte // scratch
}

func newWriter(to io.Writer) *writer {
	w := &writer{sum: sha256.New()}
	w.to = bufio.NewWriterSize(io.MultiWriter(to, w.sum), bufferSize)
	return w
}

// Section is the objects of one kind.
type Section struct {
	Kind    zones.Kinds
	Objects []object.Object
}

func (w *writer) write(about About, sections []Section) error {
	layout := object.Layout()
	if err := w.raw(append([]byte(magic), layout[:]...)); err != nil {
		return err
	}
	text, err := json.Marshal(about)
	if len(text) > maxRecord { // where so many places are is not known after a start
		about.Places = nil
		text, err = json.Marshal(about)
	}
	if err == nil {
		err = w.record(text)
	}
	for i := range sections {
		if err == nil {
			err = w.section(&sections[i])
		}
	}
	if err == nil {
		err = w.record(nil)
	}
	return err
}

func (w *writer) section(s *Section) error {
	if err := w.record(binary.AppendUvarint(nil, uint64(s.Kind))); err != nil {
		return err
	}
	for _, o := range s.Objects {
		w.data = object.Append(append(w.data[:0], 0), o)
		if err := w.record(w.data); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) record(data []byte) error {
	var head [binary.MaxVarintLen64]byte
	if len(data) > maxRecord {
		return fmt.Errorf("an object takes %d octets, and may take %d", len(data), maxRecord)
	}
	if err := w.raw(head[:binary.PutUvarint(head[:], uint64(len(data)))]); err != nil {
		return err
	}
	return w.raw(data)
}

func (w *writer) raw(data []byte) error {
	w.size += int64(len(data))
	if w.size > maxFile-sha256.Size {
		return fmt.Errorf("it would have more than %d octets", maxFile)
	}
	_, err := w.to.Write(data)
	return err
}

// finish writes the checksum to the file that all else went to.
func (w *writer) finish(to io.Writer) (size int64, err error) {
	if err := w.to.Flush(); err != nil {
		return 0, err
	}
	n, err := to.Write(w.sum.Sum(nil))
	return w.size + int64(n), err
}

// reason is why a file cannot be read or written, without its path once more.
func reason(err error) error {
	var path *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
