package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// onceInCluster runs scripts on a cluster, and never repeats one whose answer was lost: it may have run. A
// node that redirects has run nothing, so the script goes to the other node.
type onceInCluster struct{ cluster *goredis.ClusterClient }

// sentOnce is a command that go-redis takes to the right node, and does not repeat otherwise.
type sentOnce struct{ *goredis.Cmd }

// NoRetry implements goredis.Cmder.
func (sentOnce) NoRetry() bool { return true }

// script returns a command that runs a script.
func script(ctx context.Context, name, what string, keys []string, args []any) *goredis.Cmd {
	list := make([]any, 0, 3+len(keys)+len(args))
	list = append(list, name, what, len(keys))
	for _, k := range keys {
		list = append(list, k)
	}
	cmd := goredis.NewCmd(ctx, append(list, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

func (c *onceInCluster) run(ctx context.Context, name, what string, keys []string, args []any) *goredis.Cmd {
	cmd := script(ctx, name, what, keys, args)
	_ = c.cluster.Process(ctx, sentOnce{cmd}) // the command has its error
	return cmd
}

// Pipeline returns a pipeline whose scripts are not repeated either.
func (c *onceInCluster) Pipeline() goredis.Pipeliner { return &pipeOnce{c.cluster.Pipeline()} }

// pipeOnce is the pipeline of a onceInCluster.
type pipeOnce struct{ goredis.Pipeliner }

// Eval implements goredis.Scripter.
func (p *pipeOnce) Eval(ctx context.Context, source string, keys []string, args ...any) *goredis.Cmd {
	cmd := script(ctx, "eval", source, keys, args)
	_ = p.Process(ctx, sentOnce{cmd})
	return cmd
}

// EvalSha implements goredis.Scripter.
func (p *pipeOnce) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd {
	cmd := script(ctx, "evalsha", sha1, keys, args)
	_ = p.Process(ctx, sentOnce{cmd})
	return cmd
}

// Eval implements goredis.Scripter.
func (c *onceInCluster) Eval(ctx context.Context, source string, keys []string, args ...any) *goredis.Cmd {
	return c.run(ctx, "eval", source, keys, args)
}

// EvalSha implements goredis.Scripter.
func (c *onceInCluster) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd {
	return c.run(ctx, "evalsha", sha1, keys, args)
}

// EvalRO implements goredis.Scripter.
func (c *onceInCluster) EvalRO(ctx context.Context, source string, keys []string, args ...any) *goredis.Cmd {
	return c.run(ctx, "eval_ro", source, keys, args)
}

// EvalShaRO implements goredis.Scripter.
func (c *onceInCluster) EvalShaRO(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd {
	return c.run(ctx, "evalsha_ro", sha1, keys, args)
}

// ScriptExists implements goredis.Scripter.
func (c *onceInCluster) ScriptExists(ctx context.Context, hashes ...string) *goredis.BoolSliceCmd {
	return c.cluster.ScriptExists(ctx, hashes...)
}

// ScriptLoad implements goredis.Scripter.
func (c *onceInCluster) ScriptLoad(ctx context.Context, source string) *goredis.StringCmd {
	return c.cluster.ScriptLoad(ctx, source)
}
