package gateway

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/hearthfaas/hearth/internal/origin"
	"github.com/hearthfaas/hearth/internal/queue"
)

// management adds the API for the operator to a mux, behind protect.
func (g *Gateway) management(mux *http.ServeMux, protect func(http.Handler) http.Handler) {
	system := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, protect(plainErrors(g.cfg.Log, h)))
	}
	system("GET /system/functions", g.list)
	system("POST /system/functions", g.deploy)
	system("PUT /system/functions", g.deploy)
	system("DELETE /system/functions", g.remove)
	system("GET /system/function/{name}", g.status)
	system("POST /system/scale-function/{name}", g.scale)
	system("POST /system/functions/{name}/restart", g.restart)
	system("POST /system/functions/{name}/rollback", g.rollBack)
	system("GET /system/history/{name}", g.history)
	system("GET /system/events", g.events)
	system("GET /system/secrets", g.listSecrets)
	system("POST /system/secrets", g.createSecret)
	system("PUT /system/secrets", g.updateSecret)
	system("DELETE /system/secrets", g.deleteSecret)
	system("GET /system/logs", g.functionLogs)
	system("POST /system/alert", g.alert)
	system("POST /system/console/login", g.consoleLogin)
	system("GET /system/info", g.info)
	system("GET /system/namespaces", g.namespaces)
	for _, path := range []string{"/system/namespace", "/system/namespaces"} {
		// Documentation and clients differ.
		system("POST "+path, g.createNamespace)
		system("POST "+path+"/{$}", g.createNamespace)
		system("GET "+path+"/{namespace}", g.showNamespace)
		system("PUT "+path+"/{namespace}", g.updateNamespace)
		system("DELETE "+path+"/{namespace}", g.deleteNamespace)
	}
	g.queueRoutes(system)
	system("GET /system/schedules", g.schedules)
	system("POST /system/schedules/run", g.runSchedule)
	system("POST /system/schedules/pause", g.pauseSchedule)
	system("POST /system/schedules/resume", g.resumeSchedule)
	system("GET /system/records", g.listRecords)
	system("DELETE /system/records", g.removeRecord)
	mux.Handle("GET /system/usage", protect(g.problems(g.usage)))
	mux.Handle("GET /system/calls", protect(g.problems(g.listCalls)))
	mux.Handle("POST /system/calls/replay", protect(g.problems(g.replayCall)))
	mux.Handle("GET /system/traces/{id}", protect(g.problems(g.trace)))
}

// routes returns the handler of the gateway's address: functions, for everybody, and the management API, for
// the operator's programs.
func (g *Gateway) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", g.healthz)
	mux.Handle("GET /ui/{$}", plainErrors(g.cfg.Log, g.ui))
	mux.Handle("GET /{$}", http.RedirectHandler("/ui/", http.StatusFound))
	cancel, show := g.guard.programs(g.problems(g.cancel)), g.guard.programs(g.problems(g.showCall))
	if g.cfg.AdminOnly {
		cancel = http.HandlerFunc(g.elsewhere)
		show = cancel
		mux.Handle("/system/", cancel)
		mux.Handle("/metrics", cancel)
	} else {
		g.management(mux, g.guard.programs)
		mux.Handle("GET /metrics", g.cfg.Metrics)
	}
	calls, others := g.Calls(), origin.Isolate(attended(g.counted(mux)))
	cancel, show = origin.Isolate(attended(cancel)), origin.Isolate(attended(show))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		async := strings.HasPrefix(r.URL.Path, "/async-function/")
		switch { // not by the mux, which would clean the function's part of the path
		case async && r.Method == http.MethodDelete:
			cancel.ServeHTTP(w, r)
		case async && r.Method == http.MethodGet && !g.namesFunction(r):
			show.ServeHTTP(w, r)
		case async || strings.HasPrefix(r.URL.Path, "/function/"):
			calls.ServeHTTP(w, r)
		default:
			others.ServeHTTP(w, r)
		}
	})
}

// Calls returns the handler of calls, sync and async, with the limits of the gateway's address.
func (g *Gateway) Calls() http.Handler {
	call := g.traced("/function/", g.problems(g.call))
	enqueue := g.traced("/async-function/", g.problems(g.enqueue))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/async-function/") {
			enqueue.ServeHTTP(w, r)
			return
		}
		call.ServeHTTP(w, r)
	})
}

// queueRoutes adds the routes that need only Redis; see QueueAPI.
func (g *Gateway) queueRoutes(handle func(pattern string, h func(http.ResponseWriter, *http.Request) error)) {
	handle("GET /system/dead-letters", g.listDead)
	handle("GET /system/dead-letters/{queue}/{id}", g.showDead)
	handle("GET /system/dead-letters/export", g.exportDead)
	handle("POST /system/dead-letters/redrive", g.redrive)
	handle("POST /system/dead-letters/purge", g.purge)
	handle("POST "+editPath, g.editDead)
	handle("GET /system/queues", g.queues)
	handle("POST /system/queues/purge", g.purgeQueue)
	handle("POST /system/queues/pause", g.pauseQueue)
	handle("POST /system/queues/resume", g.resumeQueue)
}

// QueueAPI returns the part of the management API for queues and dead letters, for a Redis without a gateway
// of ours, such as a connector's. It requires no password.
func QueueAPI(queues *queue.Admin, log *slog.Logger) http.Handler {
	g := &Gateway{cfg: Config{Queues: queues, Log: log}}
	mux := http.NewServeMux()
	g.queueRoutes(func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, plainErrors(log, h))
	})
	return mux
}
