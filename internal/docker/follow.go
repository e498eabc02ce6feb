package docker

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// follow copies the output of a container into the function's log, until the container has exited.
func (r *replica) follow(ctx context.Context, containerID string, fresh bool, died <-chan struct{}) {
	tail := "0" // the earlier run has copied the rest
	if fresh {
		tail = "all"
	}
	for ctx.Err() == nil {
		stream, err := r.p.api.ContainerLogs(ctx, containerID, client.ContainerLogsOptions{
			ShowStdout: true,
			ShowStderr: true,
			Follow:     true,
			Tail:       tail,
		})
		if err == nil {
			r.copyOutput(stream)
			_ = stream.Close()
			tail = "0"
		}
		select { // the engine may have closed the stream
		case <-died:
			return
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// copyOutput copies the two streams of the engine's one.
func (r *replica) copyOutput(stream io.Reader) {
	var reading sync.WaitGroup
	pipe := func(name string) *io.PipeWriter {
		from, to := io.Pipe()
		id := r.State().ID
		reading.Go(func() {
			r.log.CopyLines(id, name, from, r.said.Line)
		})
		return to
	}
	stdout, stderr := pipe("stdout"), pipe("stderr")
	_, err := stdcopy.StdCopy(stdout, stderr, stream)
	_ = stdout.CloseWithError(err)
	_ = stderr.CloseWithError(err)
	reading.Wait()
}
