package hearth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// parse returns the function with these labels, annotations and environment variables, each as "name=value".
func parse(t testing.TB, labels, annotations, env []string) hearth.Function {
	t.Helper()
	f, err := hearth.Parse(deployment(labels, annotations, env))
	require.NoError(t, err)
	return f
}

// parseWith returns the function whose deployment a test changes.
func parseWith(t testing.TB, change func(*types.FunctionDeployment)) hearth.Function {
	t.Helper()
	d := deployment(nil, nil, nil)
	change(&d)
	f, err := hearth.Parse(d)
	require.NoError(t, err)
	return f
}

// validate returns what is wrong with a deployment.
func validate(d types.FunctionDeployment) error {
	_, err := hearth.Parse(d)
	return err
}

// deployment has labels, annotations and environment variables, each as "name=value".
func deployment(labels, annotations, env []string) types.FunctionDeployment {
	pairs := func(list []string) map[string]string {
		m := map[string]string{}
		for _, pair := range list {
			name, value, _ := strings.Cut(pair, "=")
			m[name] = value
		}
		return m
	}
	l, a := pairs(labels), pairs(annotations)
	return types.FunctionDeployment{
		Service:     "oven",
		Namespace:   "openfaas-fn",
		Image:       "oven:latest",
		Labels:      &l,
		Annotations: &a,
		EnvVars:     pairs(env),
	}
}

func TestTimeoutIsTheWatchdogs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 30 * time.Second, "45": 45 * time.Second, "1m30s": 90 * time.Second, "soon": 30 * time.Second,
		"-5s": 30 * time.Second,
		"0":   24 * time.Hour, "0s": 24 * time.Hour, "99999999999": 30 * time.Second,
	} {
		require.Equal(t, want, parse(t, nil, nil, []string{"exec_timeout=" + text}).Timeout,
			"exec_timeout=%s", text)
	}
}

func TestScaleLabels(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		labels   []string
		min, max int
	}{
		"none":              {nil, 1, 20},
		"both":              {[]string{"com.openfaas.scale.min=2", "com.openfaas.scale.max=5"}, 2, 5},
		"asleep":            {[]string{"com.openfaas.scale.min=0"}, 0, 20},
		"many at least":     {[]string{"com.openfaas.scale.min=50"}, 50, 50},
		"nothing to read":   {[]string{"com.openfaas.scale.min=few", "com.openfaas.scale.max=many"}, 1, 20},
		"a maximum of none": {[]string{"com.openfaas.scale.max=0"}, 1, 20},
	}
	for name, test := range tests {
		f := parse(t, test.labels, nil, nil)
		require.Equal(t, test.min, f.MinReplicas, name)
		require.Equal(t, test.max, f.MaxReplicas, name)
	}
}

func TestRetryAnnotations(t *testing.T) {
	t.Parallel()
	require.Equal(t, hearth.DefaultRetry, parse(t, nil, nil, nil).Retry)
	require.Equal(t, hearth.DefaultRetry, parse(t, nil,
		[]string{"com.openfaas.retry.attempts=0", "com.openfaas.retry.min_wait=x",
			"com.openfaas.retry.codes=500,many"}, nil).Retry,
		"what cannot be read is the default")
	p := parse(t, nil, []string{"com.openfaas.retry.attempts=3", "com.openfaas.retry.min_wait=200ms",
		"com.openfaas.retry.max_wait=10", "com.openfaas.retry.codes=500, 502",
		"com.hearth.retry.backoff=full"}, nil).Retry
	require.Equal(t, hearth.RetryPolicy{
		Attempts: 3,
		MinWait:  200 * time.Millisecond,
		MaxWait:  10 * time.Second,
		Codes:    []int{500, 502},
		MaxAge:   24 * time.Hour,
		Backoff:  hearth.BackoffFull,
	}, p)
	p = parse(t, nil, []string{"com.openfaas.retry.min_wait=5m"}, nil).Retry
	require.Equal(t, 5*time.Minute, p.MaxWait, "the longest wait is not under the shortest")
}

func TestTopicsThatHearthDelivers(t *testing.T) {
	t.Parallel()
	for annotation, want := range map[string][]string{
		"": nil, "bakery.dough": {"bakery.dough"},
		" bakery.dough , shop.opened,bakery.dough": {"bakery.dough", "shop.opened"},
		"cron-function": nil, "cron-function,bakery.dough": {"bakery.dough"}, "a{b}.c": nil,
	} {
		require.Equal(t, want, parse(t, nil, []string{"topic=" + annotation, "schedule=@hourly"},
			nil).Topics, annotation)
	}
}

func TestResourcesAreKubernetesQuantities(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 0, "128Mi": 128 << 20, "1G": 1e9, "1.5Gi": 3 << 29, "4096": 6 << 20,
		"1e3": 6 << 20, "1Pi": 1 << 50,
		"2E": 2e18, ".5k": 6 << 20, "7000.Ki": 7000 << 10,
	} {
		f := parseWith(t, func(d *types.FunctionDeployment) {
			d.Limits = &types.FunctionResources{Memory: text}
		})
		require.Equal(t, hearth.Resources{Memory: want}, f.Limit, text)
	}
	for text, want := range map[string]int64{
		"": 0, "128Mi": 128 << 20, "4096": 4096, "1e3": 1000, ".5k": 500, "1.Ki": 1024, "40m": 40 << 20,
		"128MB": 128 << 20,
		"1gb":   1 << 30, "512kib": 512 << 10, "1.5g": 3 << 29, "64b": 64, "128M": 128e6,
	} {
		f := parseWith(t, func(d *types.FunctionDeployment) {
			d.Requests = &types.FunctionResources{Memory: text}
		})
		require.Equal(t, hearth.Resources{Memory: want}, f.Request, text)
	}
	for text, want := range map[string]int64{"": 0, "500m": 500, "0.5": 500, "2": 2000,
		"0.0001": 10, "1m": 10} {
		f := parseWith(t, func(d *types.FunctionDeployment) {
			d.Limits = &types.FunctionResources{CPU: text}
		})
		require.Equal(t, hearth.Resources{MilliCPU: want}, f.Limit, text)
	}
	for _, text := range []string{"-1Mi", "much", "9e99Gi", "NaN", "Inf", "0x1p4", "-", "Mi", "1XB", "-40m"} {
		for name, r := range map[string]types.FunctionResources{"memory": {Memory: text},
			"cpu": {CPU: text}} {
			d := deployment(nil, nil, nil)
			d.Limits = &r
			require.ErrorContains(t, validate(d), "limits."+name+" is", text)
		}
	}
}

func TestWhatOthersReadIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := deployment([]string{"com.openfaas.scale.type=my-rule", "com.openfaas.scale.min=0",
		"com.openfaas.scale.target=50", "com.openfaas.scale.zero=true", "my.own/label=  any text  ", "a="},
		[]string{"com.openfaas.retry.attempts=many", "com.openfaas.profile=gvisor", "note=ä"},
		[]string{"exec_timeout=0", "write_timeout=5s", "max_inflight=0", "my.own-var=x"})
	d.Constraints, d.Limits, d.Requests = []string{"node.platform.os == " +
		"linux"}, &types.FunctionResources{Memory: "2Ei", CPU: "+.5",
		NvidiaGPU: "1"}, &types.FunctionResources{Memory: "1e9", CPU: "0"}
	require.NoError(t, validate(d))
}

func TestValidateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	label := func(name, value string) func(*types.FunctionDeployment) {
		return func(d *types.FunctionDeployment) { (*d.Labels)[name] = value }
	}
	annotation := func(name, value string) func(*types.FunctionDeployment) {
		return func(d *types.FunctionDeployment) { (*d.Annotations)[name] = value }
	}
	env := func(name, value string) func(*types.FunctionDeployment) {
		return func(d *types.FunctionDeployment) { d.EnvVars[name] = value }
	}
	resources := func(memory, memoryAsked, cpu, cpuAsked string) func(*types.FunctionDeployment) {
		return func(d *types.FunctionDeployment) {
			d.Limits, d.Requests = &types.FunctionResources{Memory: memory,
				CPU: cpu}, &types.FunctionResources{Memory: memoryAsked, CPU: cpuAsked}
		}
	}
	tests := map[string]struct {
		change func(*types.FunctionDeployment)
		want   string
	}{
		"name": {func(d *types.FunctionDeployment) { d.Service = "Oven" },
			`the function name "Oven" is not valid`},
		"long name": {func(d *types.FunctionDeployment) {
			d.Service = strings.Repeat("a",
				64)
		}, "at most 63"},
		"namespace": {func(d *types.FunctionDeployment) { d.Namespace = "a/b" },
			`the namespace "a/b" is not valid`},
		"image": {func(d *types.FunctionDeployment) { d.Image = " " },
			"function oven: the image is missing"},
		"replicas": {func(d *types.FunctionDeployment) {
			*d.Labels = map[string]string{"com.openfaas.scale.min": "3", "com.openfaas.scale.max": "2"}
		}, "com.openfaas.scale.min is 3, more than com.openfaas.scale.max, 2"},
		"backoff": {annotation("com.hearth.retry.backoff", "linear"),
			"want exponential, full or equal"},
		"max age":     {annotation("com.hearth.max-age", "0"), "com.hearth.max-age"},
		"queue":       {annotation("com.hearth.queue.length", "-1"), "com.hearth.queue.length"},
		"queue bytes": {annotation("com.hearth.queue.bytes", "64XB"), "com.hearth.queue.bytes"},
		"no label":    {label("", "x"), "a label has no name"},
		"no origin":   {annotation("com.hearth.cors", "shop.example.com"), "com.hearth.cors"},
		"a path": {annotation("com.hearth.cors", "*, https://shop.example.com/"),
			"com.hearth.cors"},
		"a wildcard": {annotation("com.hearth.cors", "https://*.example.com"), "com.hearth.cors"},
		"memory": {resources("128XB", "", "", ""),
			`limits.memory is "128XB", want a quantity such as 128Mi`},
		"memory asked for": {resources("", "lots", "", ""), `requests.memory is "lots"`},
		"cpu": {resources("", "", "one", ""),
			`limits.cpu is "one", want a quantity such as 500m or 0.5`},
		"negative cpu":  {resources("", "", "", "-1"), `requests.cpu is "-1"`},
		"spaced image":  {func(d *types.FunctionDeployment) { d.Image = "a b" }, "has a space in it"},
		"shared topics": {annotation("com.hearth.topics.from", "a/b"), `com.hearth.topics.from is "a/b"`},
		"zero byte":     {env("A\x00B", ""), "cannot be set"},
		"variable": {func(d *types.FunctionDeployment) { d.EnvVars["A=B"] = "" },
			`the environment variable "A=B" cannot be set`},
		"value": {func(d *types.FunctionDeployment) { d.EnvVars["A"] = "\x00" },
			`the environment variable "A" cannot be set`},
		"secret": {func(d *types.FunctionDeployment) { d.Secrets = []string{"../passwd"} },
			`the secret name "../passwd" is not valid`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment(nil, nil, nil)
			require.NoError(t, validate(d))
			test.change(&d)
			err := validate(d)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
		})
	}
}

// FuzzParseName checks that an accepted name fits in a file name, a Redis key
// and a host name, and parses to itself.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"oven", "oven.openfaas-fn", "", ".", "a.b.c", "../x", "Oven", "a{b}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := hearth.ParseName(s)
		if err != nil {
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
			return
		}
		require.Regexp(t, `^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}$`, n.String())
		again, err := hearth.ParseName(n.String())
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}

// FuzzParse checks that Parse refuses a deployment with a short error of code Invalid, and that what it
// accepts has sizes and times within bounds.
func FuzzParse(f *testing.F) {
	f.Add("oven:latest", "1", "20", "30s", "30s", "128Mi", "64Mi", "0.5", "topic")
	f.Add("a b", "-1", "many", "48h", "soon", "9e99Gi", "-1", "0x1p4", "")
	f.Add("oven", "5", "2", "0", "", "1Ei", "1", "Inf", "\x00")
	f.Fuzz(func(t *testing.T, image, least, most, exec, write, memory, asked, cpu, name string) {
		d := deployment([]string{"com.openfaas.scale.min=" + least, "com.openfaas.scale.max=" + most}, nil,
			[]string{"exec_timeout=" + exec, "write_timeout=" + write, name + "=x"})
		d.Image, d.Constraints, d.Secrets = image, []string{name}, []string{strings.ToLower(name)}
		d.Limits = &types.FunctionResources{Memory: memory, CPU: cpu}
		d.Requests = &types.FunctionResources{Memory: asked, CPU: cpu}
		fn, err := hearth.Parse(d)
		if err != nil {
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
			require.Less(t, len(err.Error()), 1000)
			return
		}
		require.LessOrEqual(t, fn.MinReplicas, fn.MaxReplicas)
		require.Positive(t, fn.Timeout)
		require.LessOrEqual(t, fn.Timeout, 24*time.Hour)
		for _, r := range []hearth.Resources{fn.Limit, fn.Request} {
			require.GreaterOrEqual(t, r.Memory, int64(0))
			require.GreaterOrEqual(t, r.MilliCPU, int64(0))
		}
	})
}
