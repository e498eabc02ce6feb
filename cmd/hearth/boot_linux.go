package main

import (
	"os"
	"strings"
)

// bootID is another one each time that the machine is started, and on each machine;
// in all of its containers it is the same.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
