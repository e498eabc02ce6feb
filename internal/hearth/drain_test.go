package hearth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneTimeoutIsEnoughToDrainTheLongestCall(t *testing.T) {
	for _, c := range []struct {
		name, exec, write string
		drain             time.Duration
		environment       string // the write_timeout that a replica is given
	}{
		{"neither is given", "", "", 30 * time.Second, ""},
		{"a longer exec_timeout", "70s", "", 70 * time.Second, "1m10s"},
		{"a shorter exec_timeout", "5s", "", 30 * time.Second, ""},
		{"no limit", "0", "", 30 * time.Second, ""},
		{"write_timeout is given", "70s", "80s", 80 * time.Second, "80s"},
	} {
		var f Function
		f.EnvVars = map[string]string{}
		if c.exec != "" {
			f.EnvVars["exec_timeout"] = c.exec
		}
		if c.write != "" {
			f.EnvVars["write_timeout"] = c.write
		}
		require.Equal(t, c.drain, f.DrainTime(), c.name)
		require.Equal(t, c.environment, f.Environment()["write_timeout"], c.name)
	}
}
