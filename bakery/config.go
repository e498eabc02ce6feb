package bakery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Config is how a bakery is run. Every function of one bakery is given the same.
type Config struct {
	// Menu is what is baked. MENU_FILE names a file; the built-in menu by default.
	Menu *Menu

	// Speed is how much faster than the clock the bakery runs: at 600 a bake of 12 minutes takes 1.2 s.
	// BAKE_SPEED; 600 by default.
	Speed float64

	// ExecTimeout is the watchdog's time limit for one call. No bake may take longer. From exec_timeout; 30 s
	// by default.
	ExecTimeout time.Duration

	// Patience is how long a tray may stay in one state before it is written off and ordered again. It should
	// leave ample time for a bake and its retries. From TRAY_PATIENCE; by default 30 m or four times the
	// longest bake, whichever is more.
	Patience time.Duration

	// Keep is how long ended orders and trays can still be looked up. BAKERY_KEEP; 24 h by default.
	Keep time.Duration

	// TrayLimit is how many trays may be on the way before orders are put off with 429. TRAY_LIMIT; 10,000 by
	// default.
	TrayLimit int

	// WaiterLimit is how many callers of one replica may wait for their order at once; the others get their
	// answer without waiting. It is half of max_inflight, so that deliveries always find room; 512 if that is
	// not set.
	WaiterLimit int
}

// ConfigFromEnv reads the configuration from the environment and checks it whole: the error lists all that is
// wrong.
func ConfigFromEnv() (*Config, error) {
	var wrong []error
	read := func(name string, fallback time.Duration) time.Duration {
		d, err := envDuration(name, fallback)
		wrong = append(wrong, err)
		return d
	}
	c := &Config{
		ExecTimeout: read("exec_timeout", 30*time.Second),
		Patience:    read("TRAY_PATIENCE", 30*time.Minute),
		Keep:        read("BAKERY_KEEP", 24*time.Hour),
		Speed:       600, TrayLimit: 10_000, WaiterLimit: 512,
	}
	if v := os.Getenv("BAKE_SPEED"); v != "" {
		speed, err := strconv.ParseFloat(v, 64)
		if err != nil || !(speed > 0 && speed <= 1e9) {
			wrong = append(wrong, fmt.Errorf("BAKE_SPEED is %q, want a number above 0, such as 600", v))
		}
		c.Speed = speed
	}
	if v := os.Getenv("TRAY_LIMIT"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			wrong = append(wrong, fmt.Errorf("TRAY_LIMIT is %q, want a whole number above 0", v))
		}
		c.TrayLimit = n
	}
	if n, err := strconv.Atoi(os.Getenv("max_inflight")); err == nil && n > 0 {
		c.WaiterLimit = n / 2
	}
	menu, err := ReadMenu(os.Getenv("MENU_FILE"))
	wrong = append(wrong, err)
	c.Menu = menu
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if longest := menu.Longest(); c.BakeTime(longest) >= c.ExecTimeout && c.ExecTimeout > 0 {
		return nil, fmt.Errorf(
			"%s bakes %d minutes, which at BAKE_SPEED %g is %v: not under exec_timeout, %v. "+
				"Raise one of them",
			longest.Name, longest.Minutes, c.Speed, c.BakeTime(longest), c.ExecTimeout)
	}
	if os.Getenv("TRAY_PATIENCE") == "" {
		c.Patience = max(c.Patience, 4*c.BakeTime(menu.Longest()))
	}
	if longest := menu.Longest(); c.Patience < 2*c.BakeTime(longest) {
		return nil, fmt.Errorf(
			"TRAY_PATIENCE is %v, and %s bakes for %v: want at least twice that, "+
				"or its trays are written off while they bake",
			c.Patience, longest.Name, c.BakeTime(longest))
	}
	return c, nil
}

// BakeTime is how long a bake takes on the clock.
func (c *Config) BakeTime(b Recipe) time.Duration {
	return c.onClock(time.Duration(b.Minutes) * time.Minute)
}

func (c *Config) onClock(bakeryTime time.Duration) time.Duration {
	return time.Duration(float64(bakeryTime) / c.Speed)
}

// envDuration reads a Go duration, or a whole number of seconds, as the OpenFaaS watchdog does.
func envDuration(name string, fallback time.Duration) (time.Duration, error) {
	v := os.Getenv(name)
	if v == "" {
		return fallback, nil
	}
	if seconds, err := strconv.Atoi(v); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return fallback, fmt.Errorf("%s is %q, want a duration such as 30s", name, v)
	}
	return d, nil
}

type configKey struct{}

// WithConfig gives a call its configuration, instead of the environment's. It is for tests.
func WithConfig(ctx context.Context, c *Config) context.Context {
	return context.WithValue(ctx, configKey{}, c)
}

var fromEnv = sync.OnceValues(ConfigFromEnv)

func config(ctx context.Context) *Config {
	if c, ok := ctx.Value(configKey{}).(*Config); ok {
		return c
	}
	c, err := fromEnv()
	if err != nil {
		panic(err) // MustConfigure has looked
	}
	return c
}

// MenuOf is the menu of a call.
func MenuOf(ctx context.Context) *Menu { return config(ctx).Menu }

// Posted is the menu as customers see it.
type Posted struct {
	Bakes []Recipe `json:"bakes"`
	Speed float64  `json:"speed"` // BAKE_SPEED: how much faster than the clock the bakery runs
}

// PostedMenu is the menu of a call, as customers see it.
func PostedMenu(ctx context.Context) Posted {
	c := config(ctx)
	return Posted{Bakes: c.Menu.Bakes, Speed: c.Speed}
}

// MustConfigure checks the configuration when a function starts, so that a wrong one is seen at once and not
// by a customer: it ends the process, and says why.
func MustConfigure() {
	if _, err := fromEnv(); err != nil {
		fmt.Fprintf(os.Stderr, "the bakery cannot open:\n%v\n", err)
		os.Exit(1)
	}
}
