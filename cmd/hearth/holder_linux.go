package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder describes the process that listens on a TCP port. It is "" if unknown.
func portHolder(address string) string {
	_, text, err := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	if err != nil || port == 0 {
		return ""
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for scan := bufio.NewScanner(f); scan.Scan(); { // sl local_address rem_address st ... inode; proc(5)
			fields := strings.Fields(scan.Text())
			if len(fields) > 9 && fields[3] == "0A" &&
				strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && inodes[target] {
			process := filepath.Dir(filepath.Dir(link))
			command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			name, _, _ := strings.Cut(string(command), "\x00")
			return fmt.Sprintf("process %s (%s)", filepath.Base(process), filepath.Base(name))
		}
	}
	return ""
}
