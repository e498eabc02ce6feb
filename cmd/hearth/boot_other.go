//go:build !linux

package main

import "syscall"

// bootID identifies this boot of this machine.
func bootID() string {
	id, _ := syscall.Sysctl("kern.bootsessionuuid")
	return id
}
