package main

import (
	"os"
	"strings"
)

// bootID identifies this boot of this machine. It is the same in all of its containers.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
