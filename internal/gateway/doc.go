/*
Package gateway is the front door: OpenFaaS's REST API, its authentication, and the calls of functions, sync and async.

	/system/...                  for the operator: basic auth, plain-text errors that faas-cli prints
	/function/NAME[.NS]/...      sync calls, for everybody: streamed to a replica and back
	/async-function/NAME[.NS]/.. async calls, for everybody: queued, and 202 when Redis has them
	/ui/                         for the operator: a page that shows functions and queues
	/healthz                     200 while hearth serves
	/metrics                     for Prometheus, and public: package metrics makes it

The wire contract is OpenFaaS's, as its documentation and its clients have it. Errors of function calls that Hearth itself
makes are application/problem+json. The package keeps no state; package registry does, and package dispatch makes the
queued calls.
*/
package gateway
