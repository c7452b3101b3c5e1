//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a command that runs until it is ended, or this program is.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // file of its output
	ended chan struct{}
}

// start starts a command. It has to be called by the main goroutine, whose thread the command ends with.
func (b *bench) start(name, path string, args ...string) (*process, error) {
	b.started++
	p := &process{name: name, log: filepath.Join(b.dir, fmt.Sprintf("%02d-%s.log", b.started, strings.ReplaceAll(name, " ", "-"))), ended: make(chan struct{})}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	// A group of its own: a Ctrl-C is for this program, which ends the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends it and waits until it has ended.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// await asks ok often until it is true. what completes the sentence "waited for".
func (b *bench) await(p *process, within time.Duration, what string, ok func() bool) error {
	for began := time.Now(); !ok(); {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %v\n%s", p.name, p.cmd.ProcessState, p.said())
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(began) > within {
			return fmt.Errorf("%s: waited %v for %s\n%s", p.name, within, what, p.said())
		}
	}
	return nil
}

// said is the end of its output.
func (p *process) said() string {
	const most = 2000
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-most):])
}

// saidReady reports whether it has printed a line that begins with "ready".
func (p *process) saidReady() bool {
	text, _ := os.ReadFile(p.log)
	return strings.HasPrefix(string(text), "ready") || strings.Contains(string(text), "\nready")
}

// freePort returns a port of loopback that nothing uses over UDP or TCP. It is below those that the kernel gives to clients
// (32768 and up), one of which could take it before the server does.
func (b *bench) freePort() (string, error) {
	for range 1000 {
		b.ports++
		port := fmt.Sprint(20_000 + (os.Getpid()*64+b.ports)%12_000)
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		listener.Close()
		packets, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		packets.Close()
		return port, nil
	}
	return "", fmt.Errorf("no free port on 127.0.0.1")
}

// freePorts returns several.
func (b *bench) freePorts(ports ...*string) error {
	for _, p := range ports {
		port, err := b.freePort()
		if err != nil {
			return err
		}
		*p = port
	}
	return nil
}
