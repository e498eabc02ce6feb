package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatusRequestCanWaitForAChange(t *testing.T) {
	n := newTestNode(t)
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	var now function
	get := func(query string, out *function) {
		require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe?"+query, nil, out))
	}
	eventually(t, func() bool { // until the start causes no more changes
		var later function
		get("", &now)
		get("wait=200ms&etag="+now.ETag, &later)
		return later.ETag == now.ETag
	})

	_, body := n.do(http.MethodPost, "/function/probe", "hello")
	require.NotEmpty(t, body)
	var called function
	get("", &called)
	require.Equal(t, now.ETag, called.ETag, "a call is no change")

	changed := make(chan function, 1)
	go func() {
		var f function
		n.system(http.MethodGet, "/system/function/probe?wait=20s&etag="+now.ETag, nil, &f)
		changed <- f
	}()
	require.Equal(t, http.StatusAccepted, n.system(http.MethodPost, "/system/scale-function/probe",
		map[string]any{"serviceName": "probe", "replicas": 2}, nil))
	f := <-changed
	require.NotEqual(t, now.ETag, f.ETag)
	require.EqualValues(t, 2, f.Replicas)

	res, text := n.ask(http.MethodGet, "/system/function/probe", fields{"wait": "soon"}, nil)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, text, `wait is "soon"`)
	require.Equal(t, http.StatusNotFound, n.system(http.MethodGet,
		"/system/function/nobody?wait=1s", nil, nil))
}
