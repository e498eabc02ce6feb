package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/spf13/pflag"
)

// scalingConfig are the flags of what all functions that are scaled have in
// common. What one function does, its labels say.
type scalingConfig struct {
	Off         bool
	Window      time.Duration
	PanicWindow time.Duration
	DrainGoal   time.Duration
	Most        registry.Most
}

func (c *scalingConfig) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&c.Off, "no-autoscale", false,
		"let nobody but operators change how many replicas a function has; a call still wakes one that "+
			"sleeps")
	f.DurationVar(&c.Window, "scale-window", 30*time.Second,
		"how long functions have to do less before they shrink")
	f.DurationVar(&c.PanicWindow, "scale-panic-window", time.Second,
		"how long functions have to do more before they grow")
	f.IntVar(&c.Most.Function, "max-replicas", 100,
		"limit of the replicas of one function on this machine, whatever its labels say; 0 is no limit")
	f.IntVar(&c.Most.All, "max-replicas-all", 1000,
		"limit of the replicas of all functions together on this machine; a function at zero always gets "+
			"its first; 0 is no limit")
	f.DurationVar(&c.DrainGoal, "drain-goal", time.Second,
		"within which time queued calls are to be worked off, by functions without labels for scaling")
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
		return errors.New("--max-replicas and --max-replicas-all are whole numbers from 0, which is no limit")
	}
	if c.PanicWindow > c.Window {
		return fmt.Errorf("--scale-panic-window is %v, longer than --scale-window, %v",
			c.PanicWindow, c.Window)
	}
	return nil
}
