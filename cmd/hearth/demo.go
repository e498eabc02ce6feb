package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	web "github.com/hearthfaas/hearth/internal/console"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/pflag"
)

// demoConfig holds the flags of a demonstration.
type demoConfig struct {
	On    bool
	Audit string // a shell command
}

func (d *demoConfig) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&d.On, "demo", false,
		"offer faults in the console that kill replicas, Redis and this process; only for demonstrations")
	f.StringVar(&d.Audit, "demo-audit", "",
		"shell command for the console that checks that nothing was lost; it exits with 0 if so")
}

const (
	slowFor    = 10 * time.Second
	slowPause  = 150 * time.Millisecond // of Redis, each time
	auditTime  = 2 * time.Minute
	maxAudited = 64 << 10 // bytes of an audit's output
)

// demo returns what the console offers, or nil.
func (n *node) demo() *web.Demo {
	if !n.cfg.Demo.On {
		return nil
	}
	d := &web.Demo{Faults: map[string]func(context.Context, string) (string, error){
		"kill-instance": func(context.Context, string) (string, error) {
			time.AfterFunc(200*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
			return "This instance is killed now.", nil
		},
		"slow-redis":      n.slowRedis,
		"deploy-crashing": n.deployCrashing,
	}}
	if crasher, ok := optional[hearth.Crasher](n.provider); ok {
		for name, all := range map[string]bool{"kill-replica": false, "kill-fleet": true} {
			d.Faults[name] = func(_ context.Context, function string) (string, error) {
				f, err := hearth.ParseName(function)
				if err != nil {
					return "", err
				}
				switch killed := crasher.Crash(f, all); killed {
				case 0:
					return "", hearth.Errorf(hearth.Conflict, "%s has no replica that is ready", f.Function)
				case 1:
					return fmt.Sprintf("One replica of %s was killed.", f.Function), nil
				default:
					return fmt.Sprintf("%d replicas of %s were killed.", killed, f.Function), nil
				}
			}
		}
	}
	if server := n.cfg.RedisServer; server != nil && server.Durable() {
		d.Faults["kill-redis"] = func(context.Context, string) (string, error) {
			if !server.Crash() {
				return "", errors.New("redis-server is not running")
			}
			return "Redis was killed.", nil
		}
	}
	if n.cfg.Demo.Audit != "" {
		d.Audit = n.audit
	}
	return d
}

// slowRedis makes Redis answer late for a while.
func (n *node) slowRedis(context.Context, string) (string, error) {
	end := time.Now().Add(slowFor)
	go func() {
		for time.Now().Before(end) {
			ctx, cancel := context.WithTimeout(context.Background(), slowFor)
			err := n.queue.Stall(ctx, slowPause)
			cancel()
			if err != nil {
				return
			}
			time.Sleep(2 * slowPause)
		}
	}()
	return fmt.Sprintf("Redis is slow for %v.", slowFor), nil
}

// deployCrashing deploys a function with an environment in which it cannot start. Hearth rolls it back.
func (n *node) deployCrashing(ctx context.Context, function string) (string, error) {
	name, err := hearth.ParseName(function)
	if err != nil {
		return "", err
	}
	f, _, ok := n.registry.Spec(name)
	if !ok {
		return "", hearth.NotFoundError(name)
	}
	d := f.FunctionDeployment
	d.EnvVars = maps.Clone(f.EnvVars)
	if d.EnvVars == nil {
		d.EnvVars = map[string]string{}
	}
	d.EnvVars["GOMEMLIMIT"] = "crash" // a Go program ends at once if it cannot read it
	if err := n.apiClient().do(ctx, http.MethodPut, "/system/functions", d, nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("A version of %s that crashes was deployed; it is rolled back.", name.Function), nil
}

// audit runs the command of --demo-audit.
func (n *node) audit(ctx context.Context) (text string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", n.cfg.Demo.Audit)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+n.url(), "HEARTH_SECRETS="+n.secrets.Files.Dir)
	out, err := cmd.CombinedOutput()
	text = strings.TrimSpace(string(out[:min(len(out), maxAudited)]))
	if err != nil && text == "" {
		text = err.Error()
	}
	return text, err == nil
}
