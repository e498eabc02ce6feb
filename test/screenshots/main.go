/*
Command screenshots makes the pictures of the console that the README and the docs show: it starts the bakery
with bin/hearth, replays a day of sales, and photographs the console's views in Chromium.

It needs what make build makes, redis-server and Chromium. It takes about two minutes, since charts need some
history. It leaves nothing behind but the pictures, and it tests nothing: cmd/hearth tests the page.
*/
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/hearthfaas/hearth/test/harness"
)

// maxSize is how many bytes a picture may have, so that the repository stays small.
const maxSize = 300 << 10

// A shot is one picture.
type shot struct {
	file          string
	width, height int64
	dark          bool
	open          string // a script that opens the view
	shows         string // a script that is true once it can be photographed
}

const (
	loaded = `!document.querySelector('.loading')`
	// moving is true while messages are on their way between the functions of the bakery.
	moving = `document.querySelectorAll('.map .node').length > 4 && [...document.querySelectorAll('.dot')]
		.filter(dot => Number(getComputedStyle(dot).opacity) > 0.5).length > 5`
)

var shots = []shot{
	{"console-overview.png", 1440, 900, false, `location.hash = '#/'`,
		moving},
	{"console-overview-dark.png", 1440, 900, true, `location.hash = '#/'`,
		moving},
	{"console-function.png", 1440, 860, false, `location.hash = '#/function/oven.openfaas-fn'`,
		loaded + ` && document.querySelectorAll('.chart canvas').length === 3 &&
			document.body.innerText.includes('MiB')`},
	{"console-journey.png", 1440, 860, false,
		`location.hash = '#/calls?function=server.openfaas-fn&kind=topic&state=succeeded'
		for (let i = 0; i < 100 && !document.querySelector('h1')?.innerText.startsWith('Journey'); i++) {
			await new Promise(done => setTimeout(done, 200))
			if (location.hash.includes('kind=topic')) document.querySelector('main .call-id')?.click()
		}`, loaded + ` && document.querySelectorAll('.hop').length > 3`},
}

func main() {
	out := flag.String("out", "docs", "directory of the pictures")
	history := flag.Duration("history", time.Minute, "how long to bake before the first picture")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *out, *history)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, history time.Duration) error {
	state, err := os.MkdirTemp("", "hearth-screenshots-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }()
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	gateway, callbacks := "http://"+ports[0], ports[2]
	key := filepath.Join(state, "secrets", "openfaas-fn", "manager-key")
	up := exec.CommandContext(ctx, "bin/hearth", "up", "--state", state, "--listen", ports[0], "--console",
		ports[1], "--callback-allow", callbacks, "--on-ready",
		"bin/bakery open --gateway "+gateway+" --manager-key-file "+key)
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	up.Dir, up.WaitDelay = harness.Root(), time.Minute
	hearth, err := harness.Start(up)
	if err != nil {
		return err
	}
	defer end(hearth)
	link, err := linkIn(ctx, hearth)
	if err != nil {
		return err
	}
	bake := exec.CommandContext(ctx, "bin/bakery", "replay", "cmd/bakery/testdata/made-up-days.csv",
		"--day", "2024-03-02", "--speed", "150", "--shops", "80", "--gateway", gateway, "--listen", callbacks,
		"--manager-key-file", key)
	bake.Dir = up.Dir
	sales, err := harness.Start(bake)
	if err != nil {
		return err
	}
	defer end(sales)
	fmt.Println("baking for", history)
	select {
	case <-time.After(history):
	case <-ctx.Done():
		return ctx.Err()
	}
	return photograph(ctx, link, filepath.Join(up.Dir, out))
}

// end ends a process like Ctrl-C does, and waits.
func end(p *harness.Process) {
	_ = p.Cmd.Process.Signal(os.Interrupt)
	if err := <-p.Done; err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", filepath.Base(p.Cmd.Path), "ended:", err)
	}
}

func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().String())
	}
	return ports, nil
}

var link = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/#login=[^\s]+`)

// linkIn waits for the link that hearth up prints last.
func linkIn(ctx context.Context, hearth *harness.Process) (string, error) {
	for range 600 {
		if found := link.FindString(hearth.Output()); found != "" {
			return found, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "", errors.New("hearth up printed no link:\n" + hearth.Output())
}

// photograph logs in and makes all pictures.
func photograph(ctx context.Context, link, dir string) error {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return errors.New("there is no Chromium: install it (on Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(link)); err != nil {
		return err
	}
	for _, s := range shots {
		picture, err := s.take(ctx)
		if err != nil {
			return fmt.Errorf("photograph %s: %w", s.file, err)
		}
		if len(picture) > maxSize {
			return fmt.Errorf("%s has %d bytes, want at most %d", s.file, len(picture), maxSize)
		}
		if err := os.WriteFile(filepath.Join(dir, s.file), picture, 0o644); err != nil {
			return err
		}
		fmt.Printf("%-28s %4d KB\n", s.file, len(picture)>>10)
	}
	return nil
}

// take opens the view of a shot and photographs it.
func (s shot) take(ctx context.Context) ([]byte, error) {
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	media := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	})
	if err := chromedp.Do(ctx, media, chromedp.EmulateViewport(s.width, s.height)); err != nil {
		return nil, err
	}
	if _, err := script(ctx, s.open); err != nil {
		return nil, err
	}
	for range 300 {
		ready, err := script(ctx, "return "+s.shows)
		if err != nil {
			return nil, err
		}
		if ready == "true" {
			return chromedp.Run(ctx, chromedp.CaptureScreenshot())
		}
		time.Sleep(200 * time.Millisecond)
	}
	text, _ := script(ctx, "return document.body.innerText")
	return nil, errors.New("the view did not come; the page shows:\n" + strings.TrimSpace(text))
}

// script runs in the page, and may await.
func script(ctx context.Context, text string) (string, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[string](
		"(async () => String(await (async () => {"+text+"})()))()", chromedp.EvalAwaitPromise))
}
