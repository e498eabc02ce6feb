package main

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
)

// progressEvery is how often a console shows the progress of builds. A first build takes minutes.
const progressEvery = 2 * time.Second

// progress tracks the running builds.
type progress struct {
	mu       sync.Mutex
	building map[string]time.Time     // start of each
	took     map[string]time.Duration // of the successful builds
	stop     chan struct{}
	shown    bool // the terminal's last line is a progress line
}

// Begin implements build.Progress.
func (c *console) Begin(function string) {
	c.builds.mu.Lock()
	defer c.builds.mu.Unlock()
	if c.builds.building == nil {
		c.builds.building = map[string]time.Time{}
	}
	c.builds.building[function] = time.Now()
	if c.builds.stop == nil {
		c.builds.stop = make(chan struct{})
		go c.showBuilds(c.builds.stop)
	}
}

// End implements build.Progress.
func (c *console) End(function string, took time.Duration, err error) {
	c.builds.mu.Lock()
	delete(c.builds.building, function)
	if err == nil {
		if c.builds.took == nil {
			c.builds.took = map[string]time.Duration{}
		}
		c.builds.took[function] = took
	}
	if len(c.builds.building) == 0 && c.builds.stop != nil {
		close(c.builds.stop)
		c.builds.stop = nil
	}
	c.builds.mu.Unlock()
	if err == nil {
		c.step("build", took, "%s", function)
	}
}

func (c *console) showBuilds(stop <-chan struct{}) {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			c.showBuild()
		}
	}
}

// showBuild shows what is being built and for how long: in one updated line on a
// terminal, else in a new line each time.
func (c *console) showBuild() {
	c.builds.mu.Lock()
	defer c.builds.mu.Unlock()
	if len(c.builds.building) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(c.builds.building))
	began := slices.MinFunc(slices.Collect(maps.Values(c.builds.building)), time.Time.Compare)
	line := c.line("build", 0, "%s", "compiling "+strings.Join(names,
		", ")+"  "+time.Since(began).Round(time.Second).String())
	if !c.out.IsTerminal() {
		c.out.Print(line + "\n")
		return
	}
	c.out.Print(clearLine + line)
	c.builds.shown = true
}

// clearLine moves to the beginning of the terminal's line and clears it.
const clearLine terminal.Text = "\r\x1b[K"

// clearProgress clears the progress line before another line is printed.
func (c *console) clearProgress() {
	c.builds.mu.Lock()
	defer c.builds.mu.Unlock()
	if c.builds.shown {
		c.out.Print(clearLine)
		c.builds.shown = false
	}
}
