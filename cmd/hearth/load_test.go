package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load calls one function, in a closed loop (each caller waits for its response) and in an open
// loop (at fixed times). It records failures.
type load struct {
	url    string
	client *http.Client
	ended  chan struct{}
	work   sync.WaitGroup
	ok     atomic.Uint64

	mu     sync.Mutex
	failed []string
}

func newLoad(url string) *load {
	return &load{url: url, ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}}
}

func (l *load) closed(callers int) {
	for range callers {
		l.work.Go(func() {
			for !l.over() {
				l.call()
			}
		})
	}
}

func (l *load) open(perSecond int) {
	l.work.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for {
			select {
			case <-l.ended:
				return
			case <-ticker.C:
				l.work.Go(l.call)
			}
		}
	})
}

func (l *load) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

func (l *load) call() {
	res, err := l.client.Post(l.url, "text/plain", strings.NewReader("hello"))
	if err != nil {
		l.note(err.Error())
		return
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.note(fmt.Sprintf("%d %s %v", res.StatusCode, text, err))
		return
	}
	l.ok.Add(1)
}

func (l *load) note(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, why)
}

func (l *load) served() uint64 { return l.ok.Load() }

func (l *load) stop() {
	close(l.ended)
	l.work.Wait()
	l.client.CloseIdleConnections()
}

func (l *load) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
