//go:build !linux

package main

import "syscall"

// bootID is another one each time that the machine is started, and on each machine.
func bootID() string {
	id, _ := syscall.Sysctl("kern.bootsessionuuid")
	return id
}
