/*
Package cgroup limits the memory and the processor time of processes by Linux's control groups, of version 1
or 2. It makes its groups below the one that this process is in, so that whatever bounds this process bounds
them too. It starts no processes, and limits nothing else.

It needs root, or with version 2 a subtree that was delegated to this user, as systemd does with Delegate=yes.
Version 2 has processes only in groups without groups below them: so this process and its children move into
one of their own first. Where others are in our group too, as in a login session, root makes its groups at the
top, as container engines do.

See https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html there.
*/
package cgroup

// Limits are the limits of one group. 0 is no limit.
type Limits struct {
	Memory        int64 // bytes, without swap: what needs more is killed
	MilliCPU      int64 // thousandths of a core
	MemoryRequest int64 // bytes that are reclaimed from other groups first
	CPURequest    int64 // thousandths of a core, as a weight against others
}

// A controller implements one version of control groups.
type controller interface {
	make(name string, l Limits) error
	remove(name string)
	around(name string) (leave func(), err error)
	started(name string, pid int) error
	kills(name string) int64
	close()
}

// Root is where groups are created. It is safe for concurrent use.
type Root struct {
	kind        string
	memory, cpu bool
	c           controller
}

// Kind names the version, such as "cgroup v2".
func (r *Root) Kind() string { return r.kind }

// Memory reports whether memory can be limited.
func (r *Root) Memory() bool { return r.memory }

// CPU reports whether processor time can be limited.
func (r *Root) CPU() bool { return r.cpu }

// Close removes what Open created. All groups must have been removed.
func (r *Root) Close() { r.c.close() }

// New creates a group. A group of that name from an earlier run must have no processes.
func (r *Root) New(name string, l Limits) (*Group, error) {
	if err := r.c.make(name, l); err != nil {
		r.c.remove(name)
		return nil, err
	}
	return &Group{r.c, name}, nil
}

// A Group is one control group.
type Group struct {
	c    controller
	name string
}

// Around must be called on the thread that forks a process for the group, just before the fork, and the
// function that it returns just after.
func (g *Group) Around() (leave func(), err error) { return g.c.around(g.name) }

// Started must be called first with a process that was started this way.
func (g *Group) Started(pid int) error { return g.c.started(g.name, pid) }

// Kills returns how many processes the kernel has killed for exceeding the memory limit.
func (g *Group) Kills() int64 { return g.c.kills(g.name) }

// Remove removes the group. Its processes must have ended.
func (g *Group) Remove() { g.c.remove(g.name) }
