package hearth_test

import (
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

var (
	everything = hearth.Capabilities{
		Runs:         "containers",
		Memory:       "cgroup v2",
		CPU:          "cgroup v2",
		Requests:     true,
		Command:      true,
		ReadOnlyRoot: true,
		Placement:    true,
		GPU:          true,
	}
	nothing = hearth.Capabilities{Runs: "processes", Unlimited: "there is no control group"}
)

// published are specs as they are found in stack files, in OpenFaaS's documents and its function store. None
// may be refused: they all run on OpenFaaS. warnings are those where a provider can do everything.
func TestPublishedSpecsAreAccepted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		labels, annotations, env []string
		change                   func(*types.FunctionDeployment)
		warnings                 []string
	}{
		"nothing but an image": {},
		"url-ping of the samples: numbers as labels": {labels: []string{"com.openfaas=1"},
			annotations: []string{"test=true"}, env: []string{"debug=true"}},
		"url-ping for Docker Swarm: 40m of memory": {change: func(d *types.FunctionDeployment) {
			d.Limits, d.Requests = &types.FunctionResources{Memory: "40m"},
				&types.FunctionResources{Memory: "40m"}
		}, warnings: []string{`limits.memory is "40m", which Kubernetes reads differently: it is taken as ` +
			`Docker reads it, as 40Mi`,
			`requests.memory is "40m", which Kubernetes reads differently: it is taken as Docker reads ` +
				`it, as 40Mi`}},
		"nodeinfo of the API's examples: decimal units, a placement of " +
			"Swarm": {change: func(d *types.FunctionDeployment) {
			d.EnvProcess, d.Constraints = "node main.js", []string{"node.platform.os == linux"}
			d.Limits, d.Requests = &types.FunctionResources{Memory: "128M",
				CPU: "0.01"}, &types.FunctionResources{Memory: "128M", CPU: "0.01"}
		}},
		"certinfo of the operator's readme": {labels: []string{"com.openfaas.scale.min=2",
			"com.openfaas.scale.max=12", "com.openfaas.scale.factor=4"}, env: []string{"output=verbose"},
			change: func(d *types.FunctionDeployment) {
				d.Limits, d.ReadOnlyRootFilesystem = &types.FunctionResources{Memory: "128Mi",
					CPU: "1000m"}, true
			}},
		"colorise of the store": {labels: []string{"com.openfaas.ui.ext=jpg"},
			env: []string{"url_mode=true", "read_timeout=60s", "write_timeout=60s"}},
		"alpine of the store: a shell": {change: func(d *types.FunctionDeployment) {
			d.EnvProcess = "sha512sum"
		}},
		"min and max alike": {labels: []string{"com.openfaas.scale.min=5",
			"com.openfaas.scale.max=5"}},
		"a rule of somebody's Prometheus": {labels: []string{"com.openfaas.scale.type=queue-length",
			"com.openfaas.scale.target=10"},
			warnings: []string{`the label com.openfaas.scale.type is "queue-length", want rps, capacity, ` +
				`cpu or queue: the default is used`}},
		"sleep of the blog: readiness in durations": {labels: []string{"com.openfaas.scale.target=1",
			"com.openfaas.scale.type=capacity"}, env: []string{"max_inflight=1"},
			annotations: []string{"com.openfaas.ready.http.path=/_/ready",
				"com.openfaas.ready.http.initialDelay=1s", "com.openfaas.ready.http.periodSeconds=1s"}},
		"kubesec of the docs: readiness in seconds": {annotations: []string{
			"com.openfaas.ready.http.path=/_/ready",
			"com.openfaas.ready.http.initialDelaySeconds=30",
			"com.openfaas.ready.http.periodSeconds=5",
		}},
		"a topic without REDIS_URL": {annotations: []string{"topic=bakery.dough"}, warnings: []string{
			"REDIS_URL is not set: if the function uses chain, every message of the topic bakery.dough " +
				"fails"}},
		"a topic with REDIS_URL": {annotations: []string{"topic=bakery.dough"},
			env: []string{"REDIS_URL=redis://redis:6379"}},
		"a cron function of the docs": {annotations: []string{"topic=cron-function", "schedule=0 0 */1 * *"}},
		"a topic of Kafka": {annotations: []string{"topic=payments"},
			warnings: []string{`Hearth does not serve the topic "payments": only your own connector can ` +
				`deliver it (topic "payments": want two or more words of letters, digits, _ or -, joined ` +
				`by dots, such as bakery.dough)`}},
		"a schedule without a topic": {annotations: []string{"schedule=@hourly"},
			warnings: []string{"the annotation schedule has no effect without the topic cron-function"}},
		"profiles and queues of OpenFaaS Pro": {annotations: []string{"com.openfaas.profile=gvisor",
			"com.openfaas.queue=slow", "com.openfaas.serviceaccount=fn"},
			warnings: []string{"the annotation com.openfaas.profile has no effect: Hearth has no profiles",
				"the annotation com.openfaas.serviceaccount has no effect: Hearth has no service accounts",
				"the annotation com.openfaas.queue has no effect: every function has a queue of its own"}},
		"a time to idle that nobody reads": {annotations: []string{"com.openfaas.duration=30s"}},
		"scaling as annotations": {annotations: []string{"com.openfaas.scale.zero=true"},
			warnings: []string{"the annotation com.openfaas.scale.zero has no effect: it is only read as " +
				"a label"}},
		"labels that cannot be read": {labels: []string{"com.openfaas.scale.min=some",
			"com.openfaas.scale.zero=perhaps", "com.openfaas.scale.zero-duration=soon",
			"com.openfaas.scale.factor=101"},
			warnings: []string{`the label com.openfaas.scale.min is "some", want a whole number from 0: ` +
				`the default is used`,
				`the label com.openfaas.scale.factor is "101", want a whole number of percent, from 0 to ` +
					`100: the default is used`,
				`the label com.openfaas.scale.zero is "perhaps", want true or false: the default is used`,
				`the label com.openfaas.scale.zero-duration is "soon", want a duration above 0 such as ` +
					`15m: the default is used`}},
		"retries that cannot be read": {annotations: []string{"com.openfaas.retry.attempts=many"},
			warnings: []string{`the annotation com.openfaas.retry.attempts is "many", want a whole number ` +
				`from 1: the default is used`}},
		"timeouts as the watchdog forgives them": {env: []string{"exec_timeout=soon", "read_timeout=-5s",
			"max_inflight=four"},
			warnings: []string{`the environment variable max_inflight is "four", want a whole number from ` +
				`0: no limit is used`,
				`the environment variable exec_timeout is "soon", want seconds, or a duration such as ` +
					`1m30s: the watchdog uses its default`, `the environment variable read_timeout is ` +
					`"-5s", want seconds, or a duration such as 1m30s: the watchdog uses its default`}},
		"two days": {env: []string{"exec_timeout=48h"},
			warnings: []string{"exec_timeout is 48h, and Hearth ends a call after 24h"}},
		"an answer that may be cut off": {env: []string{"exec_timeout=1m", "write_timeout=30"},
			warnings: []string{"write_timeout is 30, less than exec_timeout, 1m: a call that takes longer " +
				"than write_timeout may lose its answer"}},
		"next to nothing": {change: func(d *types.FunctionDeployment) {
			d.Limits = &types.FunctionResources{Memory: "64Ki", CPU: "1m"}
		},
			warnings: []string{`limits.memory is "64Ki": it is raised to 6Mi, the minimum of container ` +
				`engines`, `limits.cpu is "1m": it is raised to 10m, the minimum that the kernel enforces`}},
		"the smallest of the " +
			"docs": {change: func(d *types.FunctionDeployment) {
			d.Limits = &types.FunctionResources{Memory: "8Mi", CPU: "10m"}
		}},
		"more asked for than allowed": {change: func(d *types.FunctionDeployment) {
			d.Limits, d.Requests = &types.FunctionResources{Memory: "64Mi",
				CPU: "100m"}, &types.FunctionResources{Memory: "1Gi", CPU: "0.2"}
		}, warnings: []string{"requests.memory is 1Gi, more than limits.memory, 64Mi: the limit is used",
			"requests.cpu is 0.2, more than limits.cpu, 100m: the limit is used"}},
		"a variable with a space, and an empty one": {env: []string{"A B=c", "EMPTY="}},
		"a name of ours that is misspelt": {annotations: []string{"com.hearth.emit=bakery.dough"},
			labels: []string{"com.hearth.max-age=1h"},
			warnings: []string{"the annotation com.hearth.emit has no effect: Hearth does not know it",
				"the label com.hearth.max-age has no effect: it is only read as an annotation"}},
		"a probe without a path": {annotations: []string{"com.openfaas.health.http.periodSeconds=5"},
			warnings: []string{"the annotations of probes have no effect without a path: want " +
				"com.openfaas.ready.http.path or com.openfaas.health.http.path"}},
		"a probe that cannot be read": {annotations: []string{"com.openfaas.health.http.path=/live",
			"com.openfaas.health.http.periodSeconds=often", "com.openfaas.health.http.failureThreshold=0"},
			warnings: []string{`the annotation com.openfaas.health.http.periodSeconds is "often", want ` +
				`seconds, or a duration such as 2s: the default is used`,
				`the annotation com.openfaas.health.http.failureThreshold is "0", want a whole number ` +
					`from 1: the default is used`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment(test.labels, test.annotations, test.env)
			if test.change != nil {
				test.change(&d)
			}
			f, err := hearth.Parse(d)
			require.NoError(t, err)
			require.Equal(t, test.warnings, hearth.Warnings(f, everything))
		})
	}
}

func TestWhatAProviderCannotDoIsWarnedOf(t *testing.T) {
	t.Parallel()
	d := deployment([]string{"com.openfaas.scale.max=50"}, nil,
		[]string{"secret_mount_path=/run/secrets", "port=8080"})
	warnings := func(c hearth.Capabilities) []string {
		f, err := hearth.Parse(d)
		require.NoError(t, err)
		return hearth.Warnings(f, c)
	}
	require.Empty(t, warnings(everything))
	d.EnvProcess, d.ReadOnlyRootFilesystem, d.Constraints = "cat", true, []string{"zone=a"}
	d.Limits = &types.FunctionResources{Memory: "8Mi", CPU: "50m", NvidiaGPU: "1"}
	d.Requests = &types.FunctionResources{Memory: "8Mi"}
	require.Empty(t, warnings(everything))
	few := nothing
	few.MaxReplicas, few.Overrides = 20, map[string]string{"secret_mount_path": "", "port": "8080"}
	require.Equal(t, []string{
		"com.openfaas.scale.max is 50, and Hearth allows a function at most 20 replicas (--max-replicas)",
		"the environment variable secret_mount_path is set by Hearth, and its value in the spec has no " +
			"effect",
		"limits.memory is not enforced: there is no control group",
		"limits.cpu is not enforced: there is no control group",
		"requests have no effect: there is no control group",
		`fprocess "cat" has no effect: functions run as processes, and the binary from hearth build is ` +
			`started directly`,
		"readonly_root_filesystem has no effect: functions run as processes, which may write wherever " +
			"this user may",
		"constraints have no effect: functions run on this machine",
		"GPUs in limits or requests have no effect: functions get no devices",
	}, warnings(few))
	d = deployment(nil, nil, nil)
	d.Limits = &types.FunctionResources{CPU: "4"}
	small := everything
	small.Cores = 2
	require.Equal(t, []string{`limits.cpu is "4", and the machine has 2 cores: a replica gets no more`},
		warnings(small))
	d = deployment(nil, nil, nil)
	d.EnvProcess = "./handler"
	require.Empty(t, warnings(nothing), "what hearth deploy takes from the template")
}

func TestEnforcementNamesWhatLimits(t *testing.T) {
	t.Parallel()
	limited := func(r types.FunctionResources) hearth.Function {
		return parseWith(t, func(d *types.FunctionDeployment) { d.Limits = &r })
	}
	require.Empty(t, everything.Enforcement(limited(types.FunctionResources{})), "it has no limits")
	memory := limited(types.FunctionResources{Memory: "64Mi"})
	require.Equal(t, "memory by cgroup v2", everything.Enforcement(memory))
	require.Empty(t, nothing.Enforcement(memory))
	both := limited(types.FunctionResources{Memory: "64Mi", CPU: "1"})
	require.Equal(t, "memory and cpu by cgroup v2", everything.Enforcement(both))
	require.Equal(t, "memory by a watch", hearth.Capabilities{Memory: "a watch"}.Enforcement(both))
}
