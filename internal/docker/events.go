package docker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/moby/moby/client"
)

// events tells when containers exit, over one connection for all of them. After the engine was unavailable,
// it finds out which exited.
type events struct {
	api    *client.Client
	filter string
	back   func(context.Context) // called when the engine answers, also for the first time
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{}

	mu        sync.Mutex
	alive     map[string]chan struct{} // by container; closed when it has exited
	listening chan struct{}            // closed while no exit can be missed
}

func newEvents(api *client.Client, filter string, back func(context.Context), log *slog.Logger) *events {
	ctx, stop := context.WithCancel(context.Background())
	e := &events{
		api:       api,
		filter:    filter,
		back:      back,
		log:       log,
		stop:      stop,
		done:      make(chan struct{}),
		alive:     map[string]chan struct{}{},
		listening: make(chan struct{}),
	}
	go e.run(ctx)
	return e
}

// watch returns a channel that is closed when a container exits. It must be called before the container is
// started.
func (e *events) watch(containerID string) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	ended := make(chan struct{})
	e.alive[containerID] = ended
	return ended
}

// synced waits until all exits so far are known. Only then may a container be started: it can get the address
// of one that exited, and calls would go to the wrong container.
func (e *events) synced(ctx context.Context) {
	e.mu.Lock()
	listening := e.listening
	e.mu.Unlock()
	select {
	case <-listening:
	case <-ctx.Done():
	}
}

func (e *events) forget(containerID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.alive, containerID)
}

func (e *events) ended(containerID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.alive[containerID]; ok {
		close(c)
		delete(e.alive, containerID)
	}
}

func (e *events) close() {
	e.stop()
	<-e.done
}

func (e *events) run(ctx context.Context) {
	defer close(e.done)
	for ctx.Err() == nil {
		// The events begin before the containers are listed, so that no exit in between is missed.
		since := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
		if err := e.look(ctx); err == nil {
			e.mu.Lock()
			close(e.listening)
			e.mu.Unlock()
			e.back(ctx)
			err = e.follow(ctx, since)
			e.mu.Lock()
			e.listening = make(chan struct{})
			e.mu.Unlock()
			if ctx.Err() == nil {
				e.log.Info("the Docker engine's events broke off", "reason", err)
			}
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (e *events) follow(ctx context.Context, since string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := e.api.Events(ctx, client.EventsListOptions{Since: since,
		Filters: make(client.Filters).Add("type", "container").Add("event", "die", "destroy").Add("label",
			e.filter)})
	for {
		select {
		case m := <-stream.Messages:
			e.ended(m.Actor.ID)
		case err := <-stream.Err:
			return err
		}
	}
}

// look finds the containers that exited while no events came. One that is created and not started has not
// exited.
func (e *events) look(ctx context.Context) error {
	e.mu.Lock()
	known := make([]string, 0, len(e.alive))
	for id := range e.alive {
		known = append(known, id)
	}
	e.mu.Unlock()
	list, err := e.api.ContainerList(ctx,
		client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", e.filter)})
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for _, c := range list.Items {
		alive[c.ID] = c.State != "exited" && c.State != "dead"
	}
	for _, id := range known {
		if !alive[id] {
			e.ended(id)
		}
	}
	return nil
}
