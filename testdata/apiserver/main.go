// Command apiserver is the Kubernetes control plane that the tests run
// against: a real kube-apiserver with etcd inside the same process, and the
// real controllers that turn services and pods into EndpointSlices. There is
// no node, no scheduler and no network; pods are what a test writes.
//
// All state is below one directory. Ending the process by any signal and
// starting it again on that directory serves the same objects, at the same
// address, with the same certificates and tokens, so that a client sees
// nothing but an outage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const usage = `usage:
  apiserver -dir DIR [-listen ADDR] [-authorization-mode MODE] [-feature-gates GATES] [-token NAME=TOKEN ...]
        run etcd and kube-apiserver; prints "ready URL" once /readyz is ok.
        DIR/kubeconfig is the administrator's, DIR/kubeconfig-NAME that of each
        -token; DIR/apiserver.log is the log
  apiserver controllers -kubeconfig FILE [-log FILE] [-more NAME,...]
        run the EndpointSlice controllers of kube-controller-manager, and more;
        prints "ready" once they run
  apiserver etcd -dir DIR [-listen URL]
        run etcd alone, with its JSON gateway; prints "ready URL"
  apiserver snapshot -dir DIR -to FILE
        save the objects of a stopped API server
  apiserver restore -from FILE -dir DIR
        give a stopped API server the objects of a snapshot

Flags of a command: apiserver COMMAND -help
`

func main() {
	// Standard error becomes the log when Kubernetes code starts (see logTo);
	// what the command itself has to say keeps going to where it was.
	complaints := os.Stderr
	if fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		complaints = os.NewFile(uintptr(fd), "stderr")
	}
	err := run(os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(complaints, "apiserver:", err)
	os.Exit(1)
}

// run chooses the command. Flags before any command mean the API server.
func run(args []string) error {
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return runServer(args)
	case "etcd":
		return runEtcd(args)
	case "controllers":
		return runControllers(args)
	case "snapshot":
		return runSnapshot(args)
	case "restore":
		return runRestore(args)
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

// newFlags returns an empty flag set whose help begins with the usage of the
// whole command.
func newFlags(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage, "\n")
		flags.PrintDefaults()
	}
	return flags
}

// parse reads args into flags and refuses what is left over, and any of
// required that was not given.
func parse(flags *flag.FlagSet, args []string, required ...string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("-%s is required", name)
		}
	}
	return nil
}
