// Command handler is a function and its watchdog in one process: it serves HTTP and calls the function's
// Handle. It honours the contract of OpenFaaS's of-watchdog, in mode inproc; docs/reference/configuration.md
// has the environment variables. It uses the standard library only, and never starts another process.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	function "handler/function"

	handler "github.com/openfaas/templates-sdk/go-http"
)

// config is the watchdog's environment. Durations are Go's, or whole numbers of seconds.
type config struct {
	port          int           // port: 8080; unused if a socket is inherited
	metricsPort   int           // metrics_port: none
	readTimeout   time.Duration // read_timeout: 30s, for the whole request
	writeTimeout  time.Duration // write_timeout: 30s, for the answer, and for draining
	execTimeout   time.Duration // exec_timeout: 30s, for Handle; 0 is no limit
	execGrace     time.Duration // exec_grace: 10s, for Handle to return after exec_timeout; 0 is no limit
	drainPause    time.Duration // healthcheck_interval: 2s; between SIGTERM and closing the door
	maxInflight   int64         // max_inflight: 0, no limit
	maxBody       int64         // max_body_bytes: 16 MiB
	suppressLock  bool          // suppress_lock: false
	logCallID     bool          // log_callid: true
	logRequests   bool          // log_requests: true
	maxHeaderSize int
}

// defaultDrainPause is long enough for a cluster to take a replica out of rotation, and short enough for
// every platform: Docker kills a container 10 s after SIGTERM, and faasd and Kubernetes after 30 s.
const defaultDrainPause = 2 * time.Second

func configFromEnv() config {
	return config{
		port:          number("port", 8080),
		metricsPort:   number("metrics_port", 0),
		readTimeout:   duration("read_timeout", 30*time.Second),
		writeTimeout:  duration("write_timeout", 30*time.Second),
		execTimeout:   duration("exec_timeout", 30*time.Second),
		execGrace:     duration("exec_grace", 10*time.Second),
		maxInflight:   int64(number("max_inflight", 0)),
		maxBody:       int64(number("max_body_bytes", 16<<20)),
		suppressLock:  flag("suppress_lock", false),
		logCallID:     flag("log_callid", true),
		logRequests:   flag("log_requests", true),
		drainPause:    duration("healthcheck_interval", defaultDrainPause),
		maxHeaderSize: 1 << 20,
	}
}

func number(name string, fallback int) int {
	v := os.Getenv(name)
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return n
	}
	if v != "" {
		log.Printf("%s is %q, want a whole number: it is taken as %d", name, v, fallback)
	}
	return fallback
}

func duration(name string, fallback time.Duration) time.Duration {
	v := os.Getenv(name)
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		return d
	}
	if v != "" {
		log.Printf("%s is %q, want a duration such as 10s: it is taken as %v", name, v, fallback)
	}
	return fallback
}

func flag(name string, fallback bool) bool {
	if v := os.Getenv(name); v != "" {
		return v == "true" || v == "1"
	}
	return fallback
}

func main() {
	log.SetPrefix("")
	w := &watchdog{
		config: configFromEnv(),
		lock:   filepath.Join(os.TempDir(), ".lock"),
		calls:  map[series]*histogram{},
		stuck:  make(chan struct{}),
	}
	if err := w.run(); err != nil {
		log.Fatalf("watchdog: %v", err)
	}
}

// watchdog serves the function.
type watchdog struct {
	config
	lock      string
	accepting atomic.Bool
	inflight  atomic.Int64
	overdue   atomic.Int64  // of these, that outlived exec_timeout and exec_grace
	stuck     chan struct{} // closed when there is the first one
	once      sync.Once

	mu    sync.Mutex
	calls map[series]*histogram
}

// ServeHTTP is no http.ServeMux, which would redirect calls whose path it finds unclean.
func (w *watchdog) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_/health":
		w.health(rw, r)
	case "/_/ready":
		w.ready(rw, r)
	default:
		w.call(rw, r)
	}
}

func (w *watchdog) run() error {
	listener, err := w.listen()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:        w,
		ReadTimeout:    w.readTimeout,
		MaxHeaderBytes: w.maxHeaderSize,
		IdleTimeout:    5 * time.Minute,
	}
	if w.execTimeout > 0 && w.writeTimeout > 0 {
		server.WriteTimeout = w.readTimeout + w.execTimeout + w.writeTimeout
	}
	failed := make(chan error, 2)
	if w.metricsPort > 0 {
		go func() {
			metrics := &http.Server{
				Addr:              fmt.Sprint(":", w.metricsPort),
				Handler:           w.metrics(),
				ReadHeaderTimeout: w.readTimeout,
			}
			failed <- metrics.ListenAndServe()
		}()
	}
	if !w.suppressLock {
		if err := os.WriteFile(w.lock, nil, 0o660); err != nil {
			return fmt.Errorf("write the lock file that says this replica is healthy: %w", err)
		}
	}
	w.accepting.Store(true)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() { failed <- server.Serve(listener) }()

	select {
	case err := <-failed:
		return err
	case <-w.stuck:
		return w.replace(server)
	case <-stop:
	}
	w.accepting.Store(false)
	_ = os.Remove(w.lock)
	// Requests are still served while the platform takes this replica out of rotation.
	time.Sleep(w.drainPause)
	ctx, cancel := context.WithTimeout(context.Background(), w.writeTimeout)
	defer cancel()
	return server.Shutdown(ctx)
}

// outlived notes a call that goes on though its time and exec_grace are over. Nothing in Go can end it but
// the end of the process.
func (w *watchdog) outlived() {
	w.overdue.Add(1)
	w.once.Do(func() { close(w.stuck) })
}

// replace ends this process, so that the platform starts another in its place. New calls are refused, and
// other calls may end.
func (w *watchdog) replace(server *http.Server) error {
	w.accepting.Store(false)
	_ = os.Remove(w.lock)
	log.Printf(
		"a call still runs %v after its exec_timeout, %v: this process ends when its other calls have ended",
		w.execGrace, w.execTimeout)
	end := time.Now().Add(max(w.execTimeout, w.writeTimeout))
	for w.inflight.Load() > w.overdue.Load() && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // for the last answers to be sent
	defer cancel()
	_ = server.Shutdown(ctx)
	return fmt.Errorf("a call did not end within %v after its exec_timeout, %v: "+
		"this process ends, so that another takes its place", w.execGrace, w.execTimeout)
}

// isStuck reports whether this process is about to be replaced.
func (w *watchdog) isStuck() bool {
	select {
	case <-w.stuck:
		return true
	default:
		return false
	}
}

// listen takes the socket that the parent has opened, by systemd's protocol (LISTEN_FDS; sd_listen_fds(3)),
// so that calls queue in the kernel while this process starts. Without one it listens on the port.
func (w *watchdog) listen() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") == "" {
		return net.Listen("tcp", fmt.Sprint(":", w.port))
	}
	f := os.NewFile(3, "listener")
	defer func() { _ = f.Close() }()
	return net.FileListener(f)
}

func (w *watchdog) health(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		rw.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if _, err := os.Stat(w.lock); err != nil || !w.accepting.Load() {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(rw, "OK")
}

func (w *watchdog) ready(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && w.maxInflight > 0 && w.inflight.Load() >= w.maxInflight {
		rw.WriteHeader(http.StatusTooManyRequests)
		return
	}
	w.health(rw, r)
}

// answer is what a call came to.
type answer struct {
	handler.Response
	err error
}

func (w *watchdog) call(rw http.ResponseWriter, r *http.Request) {
	began := time.Now()
	// Hearth gives the call to another replica. Other gateways pass the 503 on, although it is not the
	// function's own answer.
	if w.isStuck() {
		p := problem(http.StatusServiceUnavailable,
			"this replica is being replaced, since an earlier call did not end: try again")
		rw.Header().Set("X-Hearth-Not-Taken", "1")
		rw.Header().Set("Connection", "close")
		rw.Header().Set("Retry-After", "1")
		rw.Header().Set("Content-Type", p.Header.Get("Content-Type"))
		rw.WriteHeader(p.StatusCode)
		_, _ = rw.Write(p.Body)
		return
	}
	n := w.inflight.Add(1)
	if w.maxInflight > 0 && n > w.maxInflight {
		w.inflight.Add(-1)
		rw.Header().Set("X-OpenFaaS-Internal", "faas-middleware")
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text := fmt.Sprintf("Concurrent request limit exceeded. Max concurrent requests: %d\n", w.maxInflight)
		w.finish(rw, r, began, answer{
			Response: handler.Response{StatusCode: http.StatusTooManyRequests, Body: []byte(text)},
		})
		return
	}
	if r.Header.Get("X-Call-Id") == "" {
		r.Header.Set("X-Call-Id", newCallID())
	}
	body, err := readBody(rw, r, w.maxBody)
	if err != nil {
		w.inflight.Add(-1)
		status := http.StatusBadRequest
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
			err = fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit)
		}
		w.finish(rw, r, began, answer{Response: problem(status, err.Error())})
		return
	}
	w.finish(rw, r, began, w.handle(r, body))
}

// statusClientGone is nginx's, for the log and the metrics: the caller hung up.
const statusClientGone = 499

// handle calls the function, for as long as it may take. A call that takes longer is answered without it; it
// counts as in flight until it has really ended.
func (w *watchdog) handle(r *http.Request, body []byte) answer {
	limit := w.execTimeout
	asked, err := time.ParseDuration(r.Header.Get("X-Timeout"))
	if err == nil && asked > 0 && (limit == 0 || asked < limit) {
		limit = asked
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if limit > 0 {
		ctx, cancel = context.WithTimeout(r.Context(), limit)
	} else {
		ctx, cancel = context.WithCancel(r.Context())
	}
	request := handler.Request{
		Body:        body,
		Header:      r.Header.Clone(),
		QueryString: r.URL.RawQuery,
		Method:      r.Method,
		Host:        r.Host,
	}
	request.WithContext(ctx)
	done := make(chan answer, 1)
	ended := func() {}
	if w.execTimeout > 0 && w.execGrace > 0 {
		timer := time.AfterFunc(w.execTimeout+w.execGrace, w.outlived)
		ended = func() {
			if !timer.Stop() {
				w.overdue.Add(-1)
			}
		}
	}
	go func() {
		defer cancel()
		defer w.inflight.Add(-1)
		defer ended()
		defer func() {
			if p := recover(); p != nil {
				log.Printf("the function panicked: %v\n%s", p, debug.Stack())
				p := problem(http.StatusInternalServerError, "the function panicked; its log says more")
				done <- answer{Response: p, err: errors.New("panic")}
			}
		}()
		response, err := function.Handle(request)
		done <- answer{response, err}
	}()
	<-ctx.Done() // its time is over, or it has answered
	select {
	case a := <-done:
		// else it gave up because its time was over
		if a.err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return a
		}
	default:
	}
	if r.Context().Err() != nil { // nobody reads this answer but the log
		return answer{
			Response: problem(statusClientGone, "the caller is gone"),
			err:      errors.New("the caller hung up before it had answered"),
		}
	}
	what := "its exec_timeout"
	if limit < w.execTimeout || w.execTimeout == 0 {
		what = "the caller's X-Timeout"
	}
	a := answer{
		Response: problem(http.StatusGatewayTimeout,
			fmt.Sprintf("the function took longer than %s, %v", what, limit)),
		err: ctx.Err(),
	}
	a.Header.Set("X-OpenFaaS-Internal", "of-watchdog")
	return a
}

func (w *watchdog) finish(rw http.ResponseWriter, r *http.Request, began time.Time, a answer) {
	status := a.StatusCode
	if a.err != nil {
		log.Printf("the function failed: %v", a.err)
	}
	switch {
	case a.err != nil && status < 500:
		status = http.StatusInternalServerError
	case status == 0:
		status = http.StatusOK
	}
	for name, values := range a.Header {
		rw.Header()[http.CanonicalHeaderKey(name)] = values
	}
	rw.Header().Set("X-Function-Answer", "true") // else a connector takes a 404 or 503 for the gateway's
	took := time.Since(began)
	rw.Header().Set("X-Duration-Seconds", strconv.FormatFloat(took.Seconds(), 'f', 6, 64))
	if r.Method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified {
		rw.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	rw.WriteHeader(status)
	_, _ = rw.Write(a.Body)
	w.count(series{status, r.Method}, took)
	if w.logRequests && !strings.HasPrefix(r.UserAgent(), "kube-probe") {
		callID := ""
		if w.logCallID {
			callID = " [" + r.Header.Get("X-Call-Id") + "]"
		}
		log.Printf("%s %s - %d %s - ContentLength: %dB (%.4fs)%s",
			r.Method, r.URL.EscapedPath(), status, http.StatusText(status),
			len(a.Body), took.Seconds(), callID)
	}
}

func problem(status int, detail string) handler.Response {
	body, _ := json.Marshal(map[string]any{
		"status": status,
		"title":  http.StatusText(status),
		"detail": detail,
	})
	return handler.Response{
		StatusCode: status,
		Body:       append(body, '\n'),
		Header:     http.Header{"Content-Type": {"application/problem+json"}},
	}
}

// readBody reads the whole body into a buffer of its size.
func readBody(rw http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	limited := http.MaxBytesReader(rw, r.Body, limit)
	if r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(limited, body)
		return body, err
	}
	return io.ReadAll(limited)
}

func newCallID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// series is what the metrics are counted by.
type series struct {
	code   int
	method string
}

// bounds are the histogram's buckets, in seconds: Prometheus's defaults.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

type histogram struct {
	buckets [len(bounds) + 1]uint64
	sum     float64
}

func (w *watchdog) count(s series, took time.Duration) {
	if w.metricsPort == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.calls[s]
	if h == nil {
		h = &histogram{}
		w.calls[s] = h
	}
	h.buckets[sort.SearchFloat64s(bounds[:], took.Seconds())]++
	h.sum += took.Seconds()
}

// metrics is of-watchdog's, in Prometheus's text format:
// https://prometheus.io/docs/instrumenting/exposition_formats/
func (w *watchdog) metrics() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
		var totals, seconds strings.Builder
		w.mu.Lock()
		for s, h := range w.calls {
			labels, n := fmt.Sprintf(`code="%d",method="%s"`, s.code, strings.ToLower(s.method)), uint64(0)
			for i, bound := range bounds {
				n += h.buckets[i]
				fmt.Fprintf(&seconds, "http_request_duration_seconds_bucket{%s,le=\"%g\"} %d\n",
					labels, bound, n)
			}
			n += h.buckets[len(bounds)]
			fmt.Fprintf(&seconds, "http_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d\n", labels, n)
			fmt.Fprintf(&seconds, "http_request_duration_seconds_sum{%s} %g\n", labels, h.sum)
			fmt.Fprintf(&seconds, "http_request_duration_seconds_count{%s} %d\n", labels, n)
			fmt.Fprintf(&totals, "http_requests_total{%s} %d\n", labels, n)
		}
		w.mu.Unlock()
		fmt.Fprintf(rw, "# TYPE http_requests_total counter\n%s", totals.String())
		fmt.Fprintf(rw, "# TYPE http_request_duration_seconds histogram\n%s", seconds.String())
		fmt.Fprintln(rw, "# TYPE http_requests_in_flight gauge")
		fmt.Fprintf(rw, "http_requests_in_flight %d\n", w.inflight.Load())
	})
}
