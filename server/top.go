package server

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/server/terminal"
)

const (
	serverFlag = "  -server ADDRESS  address of its directive dashboard, or a URL (default " + terminal.DefaultServer + ")\n"
	topFlags   = serverFlag + "  -hour            the last hour instead of the last two minutes\n" +
		"  -every TIME      between two pictures (default 2s)\n  -once            one picture, as where the output is no terminal\n"
	tailFlags = serverFlag + "  -client CLIENT   of an address, a network, or pods with this in their names\n" +
		"  -name DOMAIN     for a name or below it\n  -rcode RCODE     that were answered so\n" +
		"  -o json          print the lines of the server\n"
)

// top shows what is asked most, until it is interrupted.
func (c *console) top(arguments []string) error {
	flags := flag.NewFlagSet("clusterdns top", flag.ContinueOnError)
	_, _, screen := c.screen()
	t := terminal.Top{Every: 2 * time.Second, Size: c.size, Colours: screen && os.Getenv("NO_COLOR") == ""}
	once := flags.Bool("once", !screen, "")
	flags.StringVar(&t.Server, "server", terminal.DefaultServer, "")
	flags.BoolVar(&t.Hour, "hour", false, "")
	flags.DurationVar(&t.Every, "every", t.Every, "")
	if err := parseFlags(flags, arguments); err != nil {
		return err
	}
	if t.Every < 100*time.Millisecond || t.Every > time.Hour {
		return fmt.Errorf("-every: got %v, wants 100ms to 1h", t.Every)
	}
	if *once {
		t.Every = 0
	}
	return interruptible(t.Run, c.out)
}

// tail prints queries as they come, until it is interrupted.
func (c *console) tail(arguments []string) error {
	flags := flag.NewFlagSet("clusterdns tail", flag.ContinueOnError)
	t := terminal.Tail{}
	flags.StringVar(&t.Server, "server", terminal.DefaultServer, "")
	flags.StringVar(&t.Client, "client", "", "")
	flags.StringVar(&t.Name, "name", "", "")
	flags.StringVar(&t.Rcode, "rcode", "", "")
	form := flags.String("o", "", "")
	if err := parseFlags(flags, arguments); err != nil {
		return err
	}
	if t.JSON = *form == "json"; !t.JSON && *form != "" {
		return fmt.Errorf("-o: got %q, wants json", *form)
	}
	_, _, screen := c.screen()
	t.Colours = screen && os.Getenv("NO_COLOR") == ""
	return interruptible(t.Run, c.out)
}

// interruptible runs a command until SIGINT or SIGTERM, or until nobody reads its output.
func interruptible(run func(context.Context, io.Writer) error, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, out)
}

// screen is the size of the terminal that is written to, if it is one.
func (c *console) screen() (columns, rows int, is bool) {
	if f, ok := c.out.(*os.File); ok {
		return terminal.Size(f)
	}
	return 0, 0, false
}

// size is the size of the terminal, and that of most of them where there is none.
func (c *console) size() (columns, rows int) {
	if columns, rows, ok := c.screen(); ok && columns > 0 && rows > 0 {
		return columns, rows
	}
	return 160, 0
}
