package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of processor times in /proc: USER_HZ, which is 100 wherever Go runs. See proc_pid_stat(5).
const tick = time.Second / 100

// groups returns what all process groups use now, by their leaders: /proc has no index of groups.
func groups() map[int]used {
	all := map[int]used{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	page := int64(os.Getpagesize())
	for _, path := range paths {
		text, err := os.ReadFile(path)
		end := bytes.LastIndexByte(text, ')') // the end of the command's name, which may have any character
		if err != nil || end < 0 {
			continue
		}
		fields := bytes.Fields(text[end+1:]) // from the third on
		if len(fields) < 22 {
			continue
		}
		number := func(field int) int64 {
			n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
			return n
		}
		group := int(number(5))
		u := all[group]
		u.cpu += time.Duration(number(14)+number(15)) * tick
		u.memory += number(24) * page
		all[group] = u
	}
	return all
}
