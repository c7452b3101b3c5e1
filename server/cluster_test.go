package server

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// TestStandardInputFails: the message has the cause, whichever type of error it is.
func TestStandardInputFails(t *testing.T) {
	c := &console{in: iotest.ErrReader(errors.New("broken"))}
	err := c.copyManifests("-", filepath.Join(t.TempDir(), "copy"))
	if want := "-f: - cannot be read: broken"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
