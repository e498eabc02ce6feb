package main

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	web "github.com/hearthfaas/hearth/internal/console"
	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// consoleConfig holds the flag of the console.
type consoleConfig struct {
	Listen string
	given  func() bool // somebody chose the address
}

const (
	defaultConsole = "127.0.0.1:8081"
	consoleOff     = "off"
)

func (c *consoleConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Listen, "console", defaultConsole,
		"address of the console, or off; if the default address is in use, a free port is used instead")
	c.given = func() bool { return f.Changed("console") }
}

func (c *consoleConfig) off() bool { return c.Listen == "" || c.Listen == consoleOff }

func (c *consoleConfig) check(noAuth bool) error {
	if c.off() {
		return nil
	}
	return checkListen("--console", c.Listen, noAuth)
}

// listen opens the console's address. It is nil if the console is off. The address that nobody chose may
// belong to another instance on this machine: then any free port serves.
func (c *consoleConfig) listen(out *console) (net.Listener, error) {
	if c.off() {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) && !c.given() {
		host, _, _ := net.SplitHostPort(c.Listen)
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			out.step("console", 0, "%s is in use by %s; using %s", c.Listen,
				cmp.Or(portHolder(c.Listen), "another process"), l.Addr())
		}
	}
	if err != nil {
		return nil, portTaken("--console", c.Listen, err)
	}
	return l, nil
}

// consoleInfo returns what the gateway knows of the console.
func (n *node) consoleInfo() gateway.Console {
	if n.cfg.ConsoleListener == nil {
		return gateway.Console{}
	}
	n.sessions = web.NewSessions()
	return gateway.Console{URL: n.consoleURL(), Login: n.consoleLink}
}

// consoleLink makes a one-time link to the console.
func (n *node) consoleLink(role string) (link string, expires time.Time, err error) {
	token, expires, err := n.sessions.NewLogin(web.Role(role))
	return n.consoleURL() + "/#login=" + token, expires, err
}

// openConsole makes the console, if there is one.
func (n *node) openConsole() {
	if n.sessions == nil {
		return
	}
	n.console = web.New(web.Config{
		Sessions:   n.sessions,
		Origin:     n.cfg.Admin.origin(n.cfg.TLS),
		Management: n.gateway.Management,
		Calls:      n.gateway.Calls(),
		Host:       reachable(n.cfg.Listener.Addr()),
		Version:    versionText(),
		Demo:       n.demo(),
		Log:        n.cfg.Log,
	})
}

// sayConsole prints where the console is. It prints no link: the output of a service is kept in a log.
func (n *node) sayConsole(out *console) {
	if n.console != nil {
		out.step("console", 0, `%s   "hearth console" prints a link that logs you in`, n.consoleURL())
	}
}

// sayLink prints a link that logs the user in to the console.
func (n *node) sayLink(out *console) error {
	if n.console == nil {
		return nil
	}
	link, _, err := n.consoleLink(string(web.Operator))
	if err != nil {
		return err
	}
	out.step("console", 0, "%s   works once, for 10 minutes", link)
	return nil
}

// consoleLogin is the JSON output of hearth console.
type consoleLogin struct {
	URL     string    `json:"url"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}

func newConsoleCommand() *cobra.Command {
	c := &client{}
	var viewer, open bool
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Print a link that logs you in to the console",
		Long: `Prints a link to the console of an instance. It works once, and for ten minutes.
The session that it begins lasts for twelve hours, or until the instance stops.

The console listens on the loopback address of the instance's machine. For an
instance on another machine, forward the port first:

  ssh -L 8081:127.0.0.1:8081 SERVER`,
		Example: "  hearth console --open\n  hearth console --viewer\n" +
			"  docker compose exec hearth /hearth console",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			role := web.Operator
			if viewer {
				role = web.Viewer
			}
			var l consoleLogin
			if err := c.do(cmd.Context(), http.MethodPost, "/system/console/login",
				map[string]web.Role{"role": role}, &l); err != nil {
				return err
			}
			if err := c.print(cmd, l, func(out io.Writer) { _, _ = fmt.Fprintln(out, l.URL) }); err != nil {
				return err
			}
			if !open {
				return nil
			}
			return c.openBrowser(l.URL)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&viewer, "viewer", false, "the link allows to look, and to change nothing")
	cmd.Flags().BoolVar(&open, "open", false, "also open the link in a browser")
	return cmd
}

// openBrowser opens a link in the user's browser. Other users can read the arguments of a process, so the
// browser is given a file that leads to the link.
func (c *client) openBrowser(link string) error {
	file, err := c.linkFile(link)
	if err != nil {
		return fmt.Errorf("open the console in a browser: %w; open the link yourself", err)
	}
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	cmd := exec.Command(opener, file)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("open the console in a browser: %s: %w; open the link yourself", opener, err)
	}
	return nil
}

// linkFile writes a file that leads to a link, and that only this user can read. The next one replaces it;
// the link in it soon ends.
func (c *client) linkFile(link string) (string, error) {
	dir, err := filepath.Abs(c.state)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if dir, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "console.html")
	page := `<!doctype html><meta charset="utf-8"><title>Hearth</title>` +
		`<meta http-equiv="refresh" content="0; url=` + html.EscapeString(link) + `">` + "\n"
	_ = os.Remove(path) // it may have other rights
	return path, os.WriteFile(path, []byte(page), 0o600)
}
