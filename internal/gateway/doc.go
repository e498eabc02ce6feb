/*
Package gateway serves HTTP: OpenFaaS's REST API with its authentication, and the calls of functions, sync and
async.

	/system/...                  for the operator: basic auth, plain-text errors that faas-cli prints
	/function/NAME[.NS]/...      sync calls, for everybody: streamed to a replica and back
	/async-function/NAME[.NS]/.. async calls, for everybody: queued, and answered with 202 when Redis has them
	/ui/                         for the operator: a page that shows functions and queues
	/healthz                     for load balancers: 200 while the instance serves, 503 while it drains
	/metrics                     for Prometheus, and public: package metrics makes the answer

The wire contract is OpenFaaS's, as its documentation and its clients have it. If Hearth itself cannot make a
call, the answer is application/problem+json.

The package keeps no functions, replicas or messages: packages registry, router and redis do. Package dispatch
makes the queued calls, and package queue lists queues and dead letters.
*/
package gateway
