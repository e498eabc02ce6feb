package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// A house is a bakery that runs, whatever it runs on.
type house struct {
	url     string // of its gateway
	keyFile string // with the manager-key
	socket  string // of its Redis
	look    func(context.Context) (sample, error)
	stop    func()

	hearth   *testbed.Hearth // nil of a monolith
	monolith *monolith       // nil of one on Hearth
}

// A sample is what a house has used by a moment, by role. A monolith has one role, of this name.
type sample struct {
	at       time.Time
	replicas map[string]float64 // that there are
	used     map[string]float64 // replica-seconds, since it was started
	busy     map[string]float64 // seconds of calls, since it was started
	calls    map[string]float64
}

const wholeCopy = "monolith"

// onHearth starts the bakery on Hearth, with what is different from stack.yml.
func (l *lab) onHearth(ctx context.Context, changes map[string]change, args []string,
	env ...string) (*house, error) {
	path, err := l.shop.stack("stack", roles, changes)
	if err != nil {
		return nil, err
	}
	args = append([]string{"--callback-allow", "127.0.0.1"}, args...)
	if l.built {
		args = append(args, "--no-build")
	}
	h, err := l.bed.Up(ctx, path, "hearth", args, append([]string{fmt.Sprintf("BAKE_SPEED=%g",
		l.speed)}, env...)...)
	if err != nil {
		return nil, err
	}
	l.built = true
	look := func(ctx context.Context) (sample, error) {
		_, text, err := h.Text(ctx, "GET", "/metrics", "")
		if err != nil {
			return sample{}, err
		}
		return readMetrics(time.Now(), text), nil
	}
	return &house{
		url:     h.URL,
		keyFile: h.KeyFile(),
		socket:  h.Socket(),
		look:    look,
		stop:    h.Stop,
		hearth:  h,
	}, nil
}

// readMetrics reads what is of interest here from Prometheus's text format.
func readMetrics(at time.Time, text []byte) sample {
	s := sample{at, map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}}
	of := map[string]map[string]float64{"gateway_service_ready_count": s.replicas,
		"hearth_replica_seconds_total":  s.used,
		"gateway_functions_seconds_sum": s.busy, "gateway_functions_seconds_count": s.calls}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), "{")
		labels, value, ok := strings.Cut(rest, "} ")
		into := of[name]
		if into == nil || !ok {
			continue
		}
		_, function, _ := strings.Cut(labels, `function_name="`)
		role, _, _ := strings.Cut(function, ".")
		n, err := strconv.ParseFloat(value, 64)
		if err == nil {
			into[role] += n
		}
	}
	return s
}

// bakery runs the bakery's own command against a house, and returns what it prints.
func (l *lab) bakery(ctx context.Context, h *house, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(l.bed.Root, "bin", "bakery"), args...)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+h.url, "MANAGER_KEY_FILE="+h.keyFile)
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 10*time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("bakery %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return out.Bytes(), nil
}
