//go:build !linux

package cgroup

import "errors"

// Open returns an error: only Linux has control groups.
func Open(string) (*Root, error) { return nil, errors.New("only Linux has control groups") }
