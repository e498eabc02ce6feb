package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// claimDeploy changes the source of one role while customers come, and then
// those of all four by four clients at once.
func (l *lab) claimDeploy(ctx context.Context) ([]line, error) {
	var one, four [2]deployment
	run := time.Now().UnixNano() // a version that an earlier run had would come out of Go's build cache
	err := l.both(ctx, nil, []string{quickBakes}, func(h *house) error {
		i, name := 0, "function"
		if h.monolith != nil {
			i, name = 1, "monolith"
		}
		var err error
		if one[i], err = l.deployment(ctx, h, []string{"oven"}, fmt.Sprint(name, " 2 of ", run)); err != nil {
			return err
		}
		four[i], err = l.deployment(ctx, h, roles, fmt.Sprint(name, " 3 of ", run))
		return err
	})
	if err != nil {
		return nil, err
	}
	const (
		claimOne  = "deploy the oven while all serve"
		claimFour = "four roles, deployed by four clients at once"
	)
	calls := func(d [2]deployment) string {
		return fmt.Sprintf("of %d; of %d", d[0].crowd.Calls,
			d[1].crowd.Calls)
	}
	return []line{
		{claimOne, "from the edit to the first answer of the new version", "s", one[0].last.Seconds(),
			one[1].last.Seconds(), ""},
		{claimOne, "of that, building", "s", one[0].building.Seconds(), one[1].building.Seconds(), ""},
		{claimOne, "calls of customers that failed", "calls", float64(one[0].crowd.Failed),
			float64(one[1].crowd.Failed), calls(one)},
		{claimOne, "other roles that were rebuilt", "roles", float64(one[0].rebuilt),
			float64(one[1].rebuilt), ""},
		{claimOne, "other roles that were restarted", "roles", float64(one[0].restarted),
			float64(one[1].restarted), ""},
		{claimFour, "from the edits until the first is live", "s", four[0].first.Seconds(),
			four[1].first.Seconds(), "a program has one build at a time, so its clients take turns"},
		{claimFour, "from the edits until the last is live", "s", four[0].last.Seconds(),
			four[1].last.Seconds(), ""},
		{claimFour, "calls of customers that failed", "calls", float64(four[0].crowd.Failed),
			float64(four[1].crowd.Failed), calls(four)},
	}, nil
}

// A deployment is what some changes came to.
type deployment struct {
	first, last time.Duration // from the edits until the new version of a role answered
	building    time.Duration // of the last one
	crowd       crowdResult
	rebuilt     int // roles that were not changed, and built all the same
	restarted   int // likewise
}

// deployment has a client for each role, who edits it, builds and deploys it, and waits until
// it is live. Customers come all the while.
func (l *lab) deployment(ctx context.Context, h *house, changed []string,
	version string) (d deployment, err error) {
	stop := crowd{Orders: 3, Looks: 60}.come(ctx, h, l.day.seed)
	before := l.parts(h)
	time.Sleep(l.phase(2 * time.Second))
	began := time.Now()
	var (
		clients sync.WaitGroup
		turn    sync.Mutex // the monolith's
		mu      sync.Mutex
		live    []time.Duration
	)
	for _, role := range changed {
		clients.Go(func() {
			if h.monolith != nil {
				turn.Lock()
				defer turn.Unlock()
			}
			building, e := l.deployRole(ctx, h, role, version)
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				err = e
				return
			}
			live, d.building = append(live, time.Since(began)), building
		})
	}
	clients.Wait()
	time.Sleep(l.phase(2 * time.Second)) // what the old version had begun ends
	after := l.parts(h)
	visits := stop()
	if err != nil {
		return d, err
	}
	d.first, d.last, d.crowd = slices.Min(live), slices.Max(live), sumUp(visits)
	for reason, n := range d.crowd.Reasons {
		fmt.Fprintf(os.Stderr, "  %d failed: %s\n", n, reason)
	}
	for _, role := range roles {
		if slices.Contains(changed, role) {
			continue
		}
		if before[role].binary != after[role].binary {
			d.rebuilt++
		}
		if !slices.Equal(before[role].processes, after[role].processes) {
			d.restarted++
		}
	}
	return d, nil
}

// deployRole edits one role, builds and deploys what has to be, and waits until
// customers would get the new version.
func (l *lab) deployRole(ctx context.Context, h *house, role,
	version string) (building time.Duration, err error) {
	if err := l.shop.edit(role, version); err != nil {
		return 0, err
	}
	began := time.Now()
	if h.monolith != nil {
		if err := l.shop.buildMonolith(ctx, l.binary); err != nil {
			return 0, err
		}
		building = time.Since(began)
		h.monolith.replace()
	} else {
		stack, err := l.shop.stack("only-"+role, []string{role}, nil)
		if err != nil {
			return 0, err
		}
		if err := l.hearthCommand(ctx, h, "build", "-f", stack, "--state", h.hearth.State); err != nil {
			return 0, err
		}
		building = time.Since(began)
		if err := l.hearthCommand(ctx, h, "deploy", "-f", stack, "--gateway", h.url, "--password-file",
			h.hearth.PasswordFile()); err != nil {
			return 0, err
		}
	}
	return building, untilVersion(ctx, h, role, version)
}

func (l *lab) hearthCommand(ctx context.Context, h *house, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(l.bed.Root, "bin", "hearth"), args...)
	cmd.Env = append(os.Environ(), "REDIS_URL=unix://"+h.socket, quickBakes)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hearth %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// untilVersion waits until a role tells a version.
func untilVersion(ctx context.Context, h *house, role, version string) error {
	client := newClient()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) &&
		ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		res, err := client.Get(h.url + "/function/" + role + "?view=version")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK && string(text) == version {
			return nil
		}
	}
	return fmt.Errorf("%s never told version %s", role, version)
}

// A part is what a role runs from: its binary's digest, and its processes.
type part struct {
	binary    [sha256.Size]byte
	processes []string
}

// parts looks at what each role runs from. In a monolith all run from one binary.
func (l *lab) parts(h *house) map[string]part {
	all := map[string]part{}
	for _, role := range roles {
		path, within := l.binary, l.binary
		if h.hearth != nil {
			path, within = filepath.Join(h.hearth.State, "build",
				role+".bin"), filepath.Join(h.hearth.State, "images")+"/"
		}
		text, _ := os.ReadFile(path)
		p := part{binary: sha256.Sum256(text)}
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, within) &&
				(h.monolith != nil || strings.Contains(exe, role)) {
				p.processes = append(p.processes, link)
			}
		}
		all[role] = p
	}
	return all
}
