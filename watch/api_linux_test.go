package watch

import (
	"errors"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// Connections to the API server have the kernel ask after the other end: RFC 9293 section 3.8.4.
func TestKeepAlive(t *testing.T) {
	api := httptest.NewServer(nil)
	defer api.Close()
	config, err := restConfig(Options{Endpoint: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := config.Dial(t.Context(), "tcp", strings.TrimPrefix(api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	seconds := map[string]int{}
	err = raw.Control(func(socket uintptr) {
		options := map[string]int{
			"idle": syscall.TCP_KEEPIDLE, "interval": syscall.TCP_KEEPINTVL, "count": syscall.TCP_KEEPCNT,
		}
		for name, option := range options {
			var err error
			seconds[name], err = syscall.GetsockoptInt(int(socket), syscall.IPPROTO_TCP, option)
			failed = errors.Join(failed, err)
		}
	})
	if missed := seconds["idle"] + seconds["count"]*seconds["interval"]; err != nil || failed != nil || missed != 45 {
		t.Errorf("%v, %v: the other end is missed after %d s: %v", err, failed, missed, seconds)
	}
}
