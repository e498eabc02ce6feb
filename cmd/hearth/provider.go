package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/process"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/spf13/pflag"
)

// providerConfig holds the flags that choose what functions run as.
type providerConfig struct {
	Provider string
	Network  string
	Publish  bool
	Pull     string
	Asleep   string
}

func (c *providerConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Provider, "provider", "process",
		"what functions run as: process, for trusted code, or docker, in the engine of DOCKER_HOST")
	f.StringVar(&c.Network, "docker-network", "hearth", "network of the containers, created if needed")
	f.BoolVar(&c.Publish, "docker-publish", runtime.GOOS != "linux",
		"reach containers through ports on loopback, if the engine's networks are not reachable")
	f.StringVar(&c.Pull, "pull-policy", "if-not-present",
		"when to pull images: always, if-not-present or never")
	f.StringVar(&c.Asleep, "asleep", "frozen",
		"standby for functions at zero: frozen (a paused container), prepared (one that is not started) "+
			"or nothing")
}

// check validates the flags.
func (c providerConfig) check() error {
	if c.Provider != "process" && c.Provider != "docker" {
		return fmt.Errorf("--provider is %q, want process or docker", c.Provider)
	}
	return c.docker().Validate()
}

func (c providerConfig) docker() docker.Config {
	return docker.Config{Network: c.Network, Publish: c.Publish, Pull: docker.PullPolicy(c.Pull),
		Asleep: docker.Asleep(c.Asleep)}
}

// open makes the provider.
func (c providerConfig) open(ctx context.Context, state, instance string, files secrets.Files,
	printed *logs.Dir, log *slog.Logger,
	users *redis.Users) (hearth.Provider, error) {
	var environment func(hearth.Function, map[string]string)
	if users != nil {
		environment = users.Environment
	}
	var p hearth.Provider
	var err error
	if c.Provider == "docker" {
		cfg := c.docker()
		cfg.Instance, cfg.Secrets, cfg.Logs = instance, files, printed
		cfg.Log, cfg.Environment = log, environment
		p, err = docker.New(ctx, cfg)
	} else {
		p, err = process.New(process.Config{
			State:       state,
			Images:      processImages(state),
			Secrets:     files,
			Logs:        printed,
			Log:         log,
			Environment: environment,
		})
	}
	if err != nil {
		return nil, err
	}
	return withUsers(p, users, log), nil
}

// optional returns a provider as one of the interfaces that not every provider has.
func optional[T any](p hearth.Provider) (as T, ok bool) {
	if g, granted := p.(*granting); granted {
		p = g.Provider
	}
	as, ok = p.(T)
	return as, ok
}

// granting is a provider whose functions get their Redis users before they run.
type granting struct {
	hearth.Provider
	users *redis.Users
	log   *slog.Logger

	mu sync.Mutex
	// how often; a removal takes the user only from a function that was not applied since
	applied map[hearth.Name]uint64
}

func withUsers(p hearth.Provider, users *redis.Users, log *slog.Logger) hearth.Provider {
	if users == nil {
		return p
	}
	return &granting{Provider: p, users: users, log: log, applied: map[hearth.Name]uint64{}}
}

// Apply implements hearth.Provider. While Redis is unavailable functions must run all the
// same, so they get their users later then.
func (g *granting) Apply(ctx context.Context, f hearth.Function) error {
	g.mu.Lock()
	g.applied[f.Name()]++
	g.mu.Unlock()
	if err := g.users.Grant(ctx, f); err != nil {
		g.log.Warn("a function has no Redis user yet", "function", f.Name().String(), "error", err)
	}
	return g.Provider.Apply(ctx, f)
}

// Remove implements hearth.Provider. Calls in flight need Redis to their end.
func (g *granting) Remove(n hearth.Name) (gone <-chan struct{}) {
	g.mu.Lock()
	applied := g.applied[n]
	g.mu.Unlock()
	gone = g.Provider.Remove(n)
	go func() {
		<-gone
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.applied[n] == applied {
			delete(g.applied, n)
			g.users.Revoke(n)
		}
	}()
	return gone
}

func processImages(state string) process.Images {
	return process.Images{Dir: filepath.Join(state, "images")}
}

// build builds a stack's functions as images of the provider.
func (c providerConfig) build(ctx context.Context, stack *build.Stack, state string, out *console) error {
	var images build.Images = processImages(state)
	if c.Provider == "docker" {
		of, err := docker.OpenImages(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = of.Close() }()
		images = of
	}
	return stack.Build(ctx, filepath.Join(state, "build"), images, out)
}
