package hearth

import (
	"testing"
	"time"

	"github.com/openfaas/faas-provider/types"
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
		env := map[string]string{}
		if c.exec != "" {
			env["exec_timeout"] = c.exec
		}
		if c.write != "" {
			env["write_timeout"] = c.write
		}
		f, err := Parse(types.FunctionDeployment{Service: "oven", Image: "oven", EnvVars: env})
		require.NoError(t, err)
		require.Equal(t, c.drain, f.DrainTime, c.name)
		require.Equal(t, c.environment, f.Environment()["write_timeout"], c.name)
	}
}
