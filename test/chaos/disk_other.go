//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

// slowSyncs is Linux only.
func slowSyncs(context.Context, int, time.Duration, time.Duration) (int, error) {
	return 0, errors.New("system calls can be delayed on Linux only")
}

func untilEnded(int) {}
