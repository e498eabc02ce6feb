package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/spf13/pflag"
)

// scalingConfig holds the autoscaling flags that apply to all functions. Labels configure each function.
type scalingConfig struct {
	Off         bool
	Window      time.Duration
	PanicWindow time.Duration
	DrainGoal   time.Duration
	Most        registry.Most
}

func (c *scalingConfig) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&c.Off, "no-autoscale", false,
		"switch the autoscaler off; a call still starts a function from zero")
	f.DurationVar(&c.Window, "scale-window", 30*time.Second,
		"how long the load must be lower before a function scales down")
	f.DurationVar(&c.PanicWindow, "scale-panic-window", time.Second,
		"how long the load must be higher before a function scales up")
	f.IntVar(&c.Most.Function, "max-replicas", 100,
		"maximum replicas of one function on this machine, whatever its labels say; 0 means no limit")
	f.IntVar(&c.Most.All, "max-replicas-all", 1000,
		"maximum replicas of all functions on this machine; a function at zero always gets its first; 0 "+
			"means no limit")
	f.DurationVar(&c.DrainGoal, "drain-goal", time.Second,
		"how soon functions without scaling labels should finish their queued calls")
}

func (c scalingConfig) check() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"scale-window", c.Window}, {"scale-panic-window", c.PanicWindow}, {"drain-goal", c.DrainGoal}} {
		if d.value < 10*time.Millisecond || d.value > time.Hour {
			return fmt.Errorf("--%s is %v, want 10ms to 1h", d.name, d.value)
		}
	}
	if c.Most.Function < 0 || c.Most.All < 0 {
		return errors.New("--max-replicas and --max-replicas-all must be 0 (no limit) or more")
	}
	if c.PanicWindow > c.Window {
		return fmt.Errorf("--scale-panic-window is %v, longer than --scale-window, %v",
			c.PanicWindow, c.Window)
	}
	return nil
}
