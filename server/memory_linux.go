package server

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// forgetCode takes the pages of the program's own file out of the process: its code, its constants and its tables. The
// start has touched most of what it ever touches of them, and they would count as resident for ever. What runs again is
// taken from the system's cache, sixteen pages at a time; where memory is short the system may now drop the rest.
func forgetCode() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unchangedParts(bytes.NewReader(maps), self) {
		// a mapping that is locked in memory stays: EINVAL
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED)
	}
}

// part is a part of the address space.
type part struct{ start, end uintptr }

// unchangedParts are the parts of the address space that hold a file as it is: they cannot be written, and no debugger or
// tracer has put anything of its own into them, which would be lost. smaps is what Linux says of a process (proc(5)).
func unchangedParts(smaps io.Reader, file string) (list []part) {
	var now part
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		words := strings.Fields(line)
		switch {
		case len(words) > 0 && !strings.HasSuffix(words[0], ":"):
			from, to, _ := strings.Cut(words[0], "-")
			start, errStart := strconv.ParseUint(from, 16, 64)
			end, errEnd := strconv.ParseUint(to, 16, 64)
			ours = errStart == nil && errEnd == nil && len(words) > 5 && words[1][1] == '-' && strings.HasSuffix(line, " "+file)
			now = part{uintptr(start), uintptr(end)}
		case ours && len(words) == 3 && words[0] == "Anonymous:" && words[1] == "0":
			list = append(list, now)
		}
	}
	return list
}
