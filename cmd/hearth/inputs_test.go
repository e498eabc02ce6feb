package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// readText is the content of a file, or "" if there is none.
func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(text)
}

// fields are the fields of a body or the parameters of a query.
type fields map[string]string

// ask sends a request to the management API as the operator.
func (n *testNode) ask(method, path string, query, body fields) (*http.Response, string) {
	n.t.Helper()
	values := url.Values{}
	for name, value := range query {
		values.Set(name, value)
	}
	text := ""
	if body != nil {
		all := map[string]any{}
		for name, value := range body {
			all[name] = value
			if json.Valid([]byte(value)) { // a number or an object
				all[name] = json.RawMessage(value)
			}
		}
		marshalled, err := json.Marshal(all)
		require.NoError(n.t, err)
		text = string(marshalled)
	}
	return n.operator(method, path+"?"+values.Encode(), text)
}

// operator sends a request with the operator's credentials.
func (n *testNode) operator(method, path, body string) (*http.Response, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url()+path, nil)
	require.NoError(n.t, err)
	req.SetBasicAuth(n.credentials.User, n.credentials.Password)
	return n.do(method, path, body, "Authorization", req.Header.Get("Authorization"))
}

// places are all distributions of two names over the query and the body of a request.
func places(a, valueA, b, valueB string) map[string][2]fields {
	return map[string][2]fields{
		"body":  {nil, {a: valueA, b: valueB}},
		"query": {{a: valueA, b: valueB}, nil},
		"name in the body, namespace in the query": {{b: valueB}, {a: valueA}},
		"name in the query, namespace in the body": {{a: valueA}, {b: valueB}},
		"both in both": {{a: valueA, b: valueB}, {a: valueA, b: valueB}},
	}
}

// theTwo deploys a function probe in the default namespace and one in shop, both at zero.
func theTwo(n *testNode) {
	n.t.Helper()
	for _, namespace := range []string{"", "shop"} {
		n.deploy("probe", func(d *types.FunctionDeployment) {
			d.Namespace = namespace
			(*d.Labels)["com.openfaas.scale.min"] = "0"
			(*d.Annotations)["in"] = namespace
		})
	}
}

// TestRequestsNeverAffectAnotherFunction covers all endpoints that change or show a function, all names that
// clients use for its name, and all places and cases. The default namespace has a function of the same name,
// which an ignored namespace would affect.
func TestRequestsNeverAffectAnotherFunction(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "shop"}, nil))
	theTwo(n)
	replicas := func(namespace string) int {
		f, err := n.client.GetFunction(t.Context(), "probe", namespace)
		require.NoError(t, err)
		return int(f.Replicas)
	}
	thereIs := func(namespace string) bool {
		list, err := n.client.GetFunctions(t.Context(), namespace)
		require.NoError(t, err)
		return len(list) == 1
	}
	names := []string{"functionName", "FunctionName", "functionname", "FUNCTIONNAME", "function", "service",
		"serviceName", "ServiceName", "name", "Name"}
	for _, name := range names {
		namespace := map[bool]string{true: "namespace", false: "Namespace"}[len(name)%2 == 0]
		for place, at := range places(name, "probe", namespace, "shop") {
			res, text := n.ask(http.MethodDelete, "/system/functions", at[0], at[1])
			require.Equal(t, http.StatusAccepted, res.StatusCode, "remove: %s and %s in %s: %s", name,
				namespace, place, text)
			// it is listed as terminating until its replica stops
			eventually(t, func() bool { return !thereIs("shop") })
			require.True(t, thereIs(""), "remove: %s and %s in %s", name, namespace, place)
			n.deploy("probe", func(d *types.FunctionDeployment) {
				d.Namespace = "shop"
				(*d.Labels)["com.openfaas.scale.min"] = "0"
			})
		}
	}
	for _, namespace := range []string{"namespace", "Namespace", "NAMESPACE"} {
		for place, at := range places("replicas", "1", namespace, "shop") {
			for _, path := range []string{"/system/scale-function/probe",
				"/system/scale-function/probe.shop"} {
				res, text := n.ask(http.MethodPost, path, at[0], at[1])
				require.Equal(t, http.StatusAccepted, res.StatusCode, "scale %s: %s in %s: %s", path,
					namespace, place, text)
				require.Equal(t, [2]int{0, 1}, [2]int{replicas(""), replicas("shop")}, "scale %s: %s in %s",
					path, namespace, place)
				require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "shop", 0))
			}
		}
		for _, at := range [][2]fields{{{namespace: "shop"}, nil}, {nil, {namespace: "shop"}}} {
			var list []types.FunctionStatus
			_, text := n.ask(http.MethodGet, "/system/functions", at[0], at[1])
			require.NoError(t, json.Unmarshal([]byte(text), &list), text)
			require.Equal(t, "shop", list[0].Namespace)
			var f types.FunctionStatus
			_, text = n.ask(http.MethodGet, "/system/function/probe", at[0], at[1])
			require.NoError(t, json.Unmarshal([]byte(text), &f), text)
			require.Equal(t, "shop", f.Namespace)
		}
	}
	for place, at := range places("service", "probe", "Namespace", "shop") {
		if at[1] == nil {
			continue // an image is given in the body only
		}
		at[1]["image"] = probeImage
		at[1]["labels"] = `{"com.openfaas.scale.min":"0"}`
		at[1]["annotations"] = `{"at":"` + place + `"}`
		res, text := n.ask(http.MethodPut, "/system/functions", at[0], at[1])
		require.Equal(t, http.StatusOK, res.StatusCode, "update: %s: %s", place, text)
		f, err := n.client.GetFunction(t.Context(), "probe", "shop")
		require.NoError(t, err)
		require.Equal(t, place, (*f.Annotations)["at"])
		f, err = n.client.GetFunction(t.Context(), "probe", "")
		require.NoError(t, err)
		require.NotContains(t, *f.Annotations, "at")
	}
}

// TestSecretRequestsStayInTheirNamespace is the same test for secrets.
func TestSecretRequestsStayInTheirNamespace(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "shop"}, nil))
	value := func(namespace string) string {
		path := n.secrets.Files.Path(namespace, "key")
		return readText(t, path)
	}
	for _, namespace := range []string{"openfaas-fn", "shop"} {
		_, err := n.client.CreateSecret(t.Context(),
			types.Secret{Name: "key", Namespace: namespace, Value: "old"})
		require.NoError(t, err)
	}
	for _, name := range []string{"name", "Name", "secretName"} {
		for place, at := range places(name, "key", "Namespace", "shop") {
			for _, step := range []struct {
				method string
				status int
				want   string
			}{{http.MethodPut, http.StatusOK, "new"}, {http.MethodDelete, http.StatusOK, ""},
				{http.MethodPost, http.StatusCreated, "new"}} {
				body := maps.Clone(at[1])
				if step.want != "" {
					if body == nil {
						body = fields{}
					}
					body["value"] = step.want
				}
				res, text := n.ask(step.method, "/system/secrets", at[0], body)
				require.Equal(t, step.status, res.StatusCode, "%s: %s in %s: %s", step.method,
					name, place, text)
				require.Equal(t, "old", value("openfaas-fn"), "%s: %s in %s", step.method, name, place)
				require.Equal(t, step.want, value("shop"), "%s: %s in %s", step.method, name, place)
			}
		}
	}
	for _, at := range [][2]fields{{{"NAMESPACE": "shop"}, nil}, {nil, {"nameSpace": "shop"}}} {
		_, text := n.ask(http.MethodGet, "/system/secrets", at[0], at[1])
		require.Contains(t, text, `"namespace":"shop"`)
	}
}

// TestContradictoryRequestsAreRefused: two names, two namespaces, duplicate, missing and
// unknown fields. None of them changes anything.
func TestContradictoryRequestsAreRefused(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "shop"}, nil))
	theTwo(n)
	for _, namespace := range []string{"openfaas-fn", "shop"} {
		_, err := n.client.CreateSecret(t.Context(),
			types.Secret{Name: "key", Namespace: namespace, Value: "old"})
		require.NoError(t, err)
	}
	for name, test := range map[string]struct{ method, path, body, says string }{
		"remove: two names in the body": {http.MethodDelete, "/system/functions",
			`{"functionName":"probe","service":"other"}`, "names two functions"},
		"remove: a name twice": {http.MethodDelete, "/system/functions",
			`{"functionName":"probe","functionName":"other"}`, "twice, with different values"},
		"remove: a name in two cases": {http.MethodDelete, "/system/functions",
			`{"functionName":"probe","FunctionName":"other"}`, "twice, with different values"},
		"remove: a name in body and query": {http.MethodDelete, "/system/functions?name=other",
			`{"functionName":"probe"}`, "names two functions"},
		"remove: two namespaces": {http.MethodDelete, "/system/functions?namespace=openfaas-fn",
			`{"functionName":"probe","namespace":"shop"}`, "names two namespaces"},
		"remove: a namespace twice": {http.MethodDelete,
			"/system/functions?namespace=openfaas-fn&Namespace=shop", `{"functionName":"probe"}`,
			"names two namespaces"},
		"remove: the name has another one": {http.MethodDelete, "/system/functions",
			`{"functionName":"probe.openfaas-fn","namespace":"shop"}`, "names two namespaces"},
		"remove: no name": {http.MethodDelete, "/system/functions?namespace=shop", `{}`,
			"name of the function is missing"},
		"remove: nothing": {http.MethodDelete, "/system/functions", ``,
			"name of the function is missing"},
		"remove: a field that may say more": {http.MethodDelete, "/system/functions",
			`{"functionName":"probe","ns":"shop"}`, `"ns"`},
		"remove: a query that may say more": {http.MethodDelete, "/system/functions?ns=shop",
			`{"functionName":"probe"}`, `"ns"`},
		"remove: a name that cannot be": {http.MethodDelete, "/system/functions",
			`{"functionName":["probe"]}`, "not a single value"},
		"remove: capitals": {http.MethodDelete, "/system/functions",
			`{"functionName":"Probe"}`, "is not valid"},
		"scale: no number": {http.MethodPost, "/system/scale-function/probe",
			`{"serviceName":"probe"}`, "replicas is missing"},
		"scale: nothing": {http.MethodPost, "/system/scale-function/probe", ``,
			"replicas is missing"},
		"scale: less than nothing": {http.MethodPost, "/system/scale-function/probe",
			`{"replicas":-1}`, `replicas is "-1"`},
		"scale: a part": {http.MethodPost, "/system/scale-function/probe",
			`{"replicas":0.5}`, `replicas is "0.5"`},
		"scale: two numbers": {http.MethodPost, "/system/scale-function/probe?replicas=1",
			`{"replicas":0}`, "names two"},
		"scale: another name": {http.MethodPost, "/system/scale-function/probe",
			`{"serviceName":"other","replicas":0}`, "the path names probe"},
		"scale: another namespace": {http.MethodPost, "/system/scale-function/probe.shop",
			`{"namespace":"openfaas-fn","replicas":0}`, "names two namespaces"},
		"deploy: no name": {http.MethodPost, "/system/functions",
			`{"image":"` + probeImage + `"}`, "service in a deployment"},
		"deploy: two names": {http.MethodPut, "/system/functions",
			`{"service":"probe","name":"other","image":"` + probeImage + `"}`, "names two functions"},
		"deploy: two namespaces": {http.MethodPut, "/system/functions?namespace=shop",
			`{"service":"probe","namespace":"openfaas-fn","image":"` + probeImage + `"}`,
			"names two namespaces"},
		"deploy: two images": {http.MethodPut, "/system/functions",
			`{"service":"probe","image":"a:b","IMAGE":"` + probeImage + `"}`, "the field IMAGE twice"},
		"deploy: nothing": {http.MethodPut, "/system/functions", ``, "is empty"},
		"status: two namespaces": {http.MethodGet,
			"/system/function/probe.shop?namespace=openfaas-fn", ``, "names two namespaces"},
		"list: two namespaces": {http.MethodGet,
			"/system/functions?namespace=shop&namespace=openfaas-fn", ``, "names two namespaces"},
		"logs: two names": {http.MethodGet, "/system/logs?name=probe&Name=other", ``,
			"names two functions"},
		"secret: two namespaces": {http.MethodDelete, "/system/secrets?namespace=openfaas-fn",
			`{"name":"key","namespace":"shop"}`, "names two namespaces"},
		"secret: two names": {http.MethodPut, "/system/secrets?name=other",
			`{"name":"key","value":"new"}`, "names two secrets"},
		"secret: no name": {http.MethodDelete, "/system/secrets", `{"namespace":"shop"}`,
			"name is missing"},
		"secret: two values": {http.MethodPut, "/system/secrets",
			`{"name":"key","value":"new","Value":"newer"}`, "twice"},
		"secret: a field that may say more": {http.MethodDelete, "/system/secrets",
			`{"name":"key","ns":"shop"}`, `"ns"`},
		"namespace: two names": {http.MethodDelete, "/system/namespace/shop", `{"name":"other"}`,
			"names two namespaces"},
		"namespace: two in the query": {http.MethodDelete, "/system/namespace/shop?namespace=other", ``,
			"names two namespaces"},
		"namespace: labels of nothing": {http.MethodPut, "/system/namespace/shop", ``, "is empty"},
		"dead letters: a field unknown": {http.MethodPost, "/system/dead-letters/purge",
			`{"all":true,"queueName":"probe:calls"}`, `"queueName"`},
		"dead letters: a part of the query": {http.MethodPost, "/system/dead-letters/purge?olderThan=1h",
			`{"all":true}`, `"olderThan"`},
		"dead letters: a namespace alone": {http.MethodPost, "/system/dead-letters/purge",
			`{"all":true,"namespace":"shop"}`, "no function in it"},
		"dead letters: two functions": {http.MethodPost, "/system/dead-letters/redrive?function=probe",
			`{"all":true,"function":"other"}`, "names two functions"},
		"dead letters: all in the query": {http.MethodPost, "/system/dead-letters/purge?all=true",
			`{"all":true}`, "put ids and all into the body"},
		"dead letters: a misspelt query": {http.MethodGet,
			"/system/dead-letters?functoin=probe", ``, "functoin"},
		"edit: no queue": {http.MethodPost, "/system/dead-letters/edit",
			`{"id":"1-0","body":"b"}`, "its queue and its id"},
		"edit: no body": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0"}`, "either body, or body_base64"},
		"edit: two bodies": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body":"b","body_base64":"Yg=="}`,
			"either body, or body_base64"},
		"edit: a body that is no text": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body":{"a":1}}`, "field body must not be a JSON object"},
		"edit: no base64": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body_base64":"?"}`, "base64"},
		"edit: body in the query": {http.MethodPost, "/system/dead-letters/edit?body=b",
			`{"queue":"probe:calls","id":"1-0"}`, "into the body"},
		"edit: a field unknown": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body":"b","contentType":"x"}`, `"contentType"`},
		"edit: a content type of two lines": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body":"b","content_type":"a\nb"}`, "value of a header"},
		"edit: too large": {http.MethodPost, "/system/dead-letters/edit",
			`{"queue":"probe:calls","id":"1-0","body":"` + strings.Repeat("x", 1<<20+1) + `"}`,
			"that of a queued call may have 1048576"},
		"purge: a field unknown": {http.MethodPost, "/system/queues/purge",
			`{"queue":"probe:calls","queued":true,"older":"1h"}`, `"older"`},
		"purge: two queues": {http.MethodPost, "/system/queues/purge?queue=other:calls",
			`{"queue":"probe:calls","queued":true}`, "names two queues"},
		"purge: nothing": {http.MethodPost, "/system/queues/purge",
			`{"queue":"probe:calls"}`, "say what to purge"},
		"pause: no queue": {http.MethodPost, "/system/queues/pause", `{}`, "say which queue"},
		"pause: two queues": {http.MethodPost, "/system/queues/pause?queue=other:calls",
			`{"queue":"probe:calls"}`, "names two queues"},
		"resume: a field unknown": {http.MethodPost, "/system/queues/resume",
			`{"queue":"probe:calls","all":true}`, `"all"`},
		"queues: a misspelt query": {http.MethodGet,
			"/system/queues?functoin=probe", ``, "functoin"},
		"usage: two namespaces": {http.MethodGet,
			"/system/usage?function=probe.shop&namespace=openfaas-fn", ``, "names two namespaces"},
		"cancel: two functions": {http.MethodDelete,
			"/async-function/some-call?function=probe&name=other", ``, "names two functions"},
		"cancel: a misspelt query": {http.MethodDelete,
			"/async-function/some-call?functoin=probe", ``, "functoin"},
	} {
		res, text := n.operator(test.method, test.path, test.body)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, "%s: %s", name, text)
		require.Contains(t, text, test.says, name)
	}
	for _, namespace := range []string{"openfaas-fn", "shop"} {
		f, err := n.client.GetFunction(t.Context(), "probe", namespace)
		require.NoError(t, err)
		require.Zero(t, f.Replicas)
		require.Equal(t, "old", readText(t, n.secrets.Files.Path(namespace, "key")))
	}
	var all []string
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/namespaces", nil, &all))
	require.Equal(t, []string{"openfaas-fn", "shop"}, slices.Sorted(slices.Values(all)))
}

// TestSpecPartsWithoutEffectCauseWarnings in the response, and in the status for the spec's own parts.
func TestSpecPartsWithoutEffectCauseWarnings(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	res, text := n.ask(http.MethodPost, "/system/functions", nil,
		fields{"service": "probe", "image": probeImage, "labels": `{"com.openfaas.scale.min":"0"}`,
			"envProcess": "cat", "readOnlyRootFilesystem": "true",
			"registryAuth": "c2VjcmV0", "replicas": "3",
			"createdAt":   "2026-01-01T00:00:00Z",
			"constraints": `["zone=ä\n"]`, "limits": `{"ephemeral-storage":"1Gi"}`})
	require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	require.Equal(t, []string{
		`"registryAuth" has no effect: Hearth does not know it`,
		`"replicas" has no effect: Hearth does not know it`,
		`limits.ephemeral-storage has no effect: Hearth does not know it`,
		`fprocess "cat" has no effect: functions run as processes, ` +
			`and the binary from hearth build is started directly`,
		"readonly_root_filesystem has no effect: functions run as processes, which may write wherever this " +
			"user may",
		"constraints have no effect: functions run on this machine",
	}, warningsOf(res.Header))
	var f function
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &f))
	require.Equal(t, warningsOf(res.Header)[3:], f.Warnings)

	// A status that a client sends back unchanged changes nothing and causes no warning.
	_, text = n.operator(http.MethodGet, "/system/function/probe", "")
	res, text = n.operator(http.MethodPut, "/system/functions", text)
	require.Equal(t, http.StatusOK, res.StatusCode, text)
	require.Equal(t, f.Warnings, warningsOf(res.Header))
}
