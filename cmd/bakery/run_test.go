package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingCallbacksSayWhatToDo(t *testing.T) {
	t.Parallel()
	for callback, want := range map[string]string{
		"http://127.0.0.1:4000": "(on faasd, --listen 10.62.0.1:9001)",
		"http://localhost:4000": "(on faasd, --listen 10.62.0.1:9001)",
		"http://[::1]:4000":     "(on faasd, --listen 10.62.0.1:9001)",
		"http://10.62.0.1:4000": "the gateway's queue must be able to reach that address",
		"http://my-laptop:4000": "only with --callback-allow",
	} {
		require.ErrorContains(t, noCallback(callback), want)
	}
}
