package providertest

import (
	"context"
	"runtime"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func measures(s *subject) {
	if runtime.GOOS != "linux" {
		s.t.Skip("only Linux has /proc")
	}
	n := s.function(1).Name()
	u, err := s.Provider.Usage(s.t.Context(), n)
	require.NoError(s.t, err)
	require.Zero(s.t, u, "a function that is not there")
	s.apply(s.function(2))
	list := s.await("two replicas", ready(2))
	before, err := s.Provider.Usage(s.t.Context(), n)
	require.NoError(s.t, err)
	require.Greater(s.t, before.Memory, int64(1<<20))

	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	spinning := make(chan struct{})
	go func() {
		defer close(spinning)
		for ctx.Err() == nil {
			_, _ = Call(ctx, list[0], "env=GREETING", "")
		}
	}()
	_, err = Call(s.t.Context(), list[1], "hog=64", "")
	require.NoError(s.t, err)
	s.await("the processor to be used", func([]hearth.Replica) bool {
		u, err := s.Provider.Usage(s.t.Context(), n)
		require.NoError(s.t, err)
		return u.CPU > 1 && u.Memory > before.Memory+50<<20
	})
	stop()
	<-spinning
}
