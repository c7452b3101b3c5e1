//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Size is the size of a terminal; ok is false for what is none.
func Size(f *os.File) (columns, rows int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}
