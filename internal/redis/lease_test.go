package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestOneHearthAtATimeChangesAFunction(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		end, err := q.BeginChange(t.Context(), fn, "one")
		require.NoError(t, err)
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = q.BeginChange(soon, fn, "two")
		require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), err)
		other, err := q.BeginChange(t.Context(), hearth.Name{Function: "baker",
			Namespace: "openfaas-fn"}, "two")
		require.NoError(t, err)
		other()

		began := make(chan func(), 1)
		go func() {
			if end, err := q.BeginChange(t.Context(), fn, "two"); err == nil {
				began <- end
			}
		}()
		require.Empty(t, began)
		end()
		end = <-began
		_, err = q.BeginChange(soon, fn, "one")
		require.Error(t, err)
		again, err := q.BeginChange(t.Context(), fn, "two")
		require.NoError(t, err, "its own former life holds up no hearth")
		end()
		again()
		require.Zero(t, q.raw.Exists(t.Context(), "{hearth}:changing:"+fn.String()).Val())
	})
}

func TestTwoHearthsCannotHaveOneName(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		claim := func(home string, lost func(string)) (func(), int, error) {
			waited := 0
			end, err := q.ClaimInstance(t.Context(), "abc", home, "process 1 in "+home,
				func() { waited++ }, lost)
			return end, waited, err
		}
		end, waited, err := claim("home", nil)
		require.NoError(t, err)
		require.Zero(t, waited)
		_, waited, err = claim("copy", nil)
		require.Equal(t, hearth.Conflict, hearth.CodeOf(err), err)
		require.Equal(t, 1, waited)
		require.ErrorContains(t, err, "process 1 in home")
		require.ErrorContains(t, err, "a name of its own")
		again, waited, err := claim("home", nil)
		require.NoError(t, err, "killed, and started again")
		require.Zero(t, waited)
		end()
		again()
		require.Zero(t, q.raw.Exists(t.Context(), "{hearth}:instance:abc").Val())

		require.NoError(t, q.raw.Set(t.Context(), "{hearth}:instance:abc", "elsewhere token died",
			300*time.Millisecond).Err())
		lost := make(chan string, 1)
		end, waited, err = claim("home", func(note string) { lost <- note })
		require.NoError(t, err, "whoever does not renew is dead")
		require.Equal(t, 1, waited)
		require.NoError(t, q.raw.Set(t.Context(), "{hearth}:instance:abc", "elsewhere token process 7",
			time.Minute).Err())
		require.Equal(t, "process 7", <-lost)
		end()
		require.Equal(t, "elsewhere token process 7", q.raw.Get(t.Context(), "{hearth}:instance:abc").Val())
	})
}
