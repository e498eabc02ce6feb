package record_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/internal/record"
	"github.com/stretchr/testify/require"
)

var key, other = record.NewKey([]byte("one secret")), record.NewKey([]byte("another secret"))

// forms are the two ways in which a record is signed.
var forms = map[string]struct {
	content string
	sign    func(k record.Key, key, field string, content []byte) []byte
	open    func(k record.Key, key, field string, signed []byte) ([]byte, error)
}{
	"JSON":  {`{"service":"oven","labels":{"mac":"x"}}`, record.Key.SignJSON, record.Key.OpenJSON},
	"bytes": {"\x01\x00\xff", record.Key.Sign, record.Key.Open},
}

func TestARecordOpensOnlyWhereItWasSigned(t *testing.T) {
	t.Parallel()
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signed := form.sign(key, "functions", "oven", []byte(form.content))
			content, err := form.open(key, "functions", "oven", signed)
			require.NoError(t, err)
			require.Equal(t, form.content, string(content))
			for what, c := range map[string]struct {
				k          record.Key
				key, field string
				signed     []byte
				want       error
			}{
				"another field":         {key, "functions", "baker", signed, record.ErrForged},
				"another key of Redis":  {key, "namespaces", "oven", signed, record.ErrForged},
				"a boundary that moved": {key, "functionso", "ven", signed, record.ErrForged},
				"another secret":        {other, "functions", "oven", signed, record.ErrOtherKey},
				"no secret":             {record.Key{}, "functions", "oven", signed, record.ErrOtherKey},
				"no signature": {key, "functions", "oven", []byte(form.content),
					record.ErrUnsigned},
				"nothing": {key, "functions", "oven", nil, record.ErrUnsigned},
				"signed by another secret": {key, "functions", "oven",
					form.sign(other, "functions", "oven", []byte(form.content)), record.ErrOtherKey},
			} {
				_, err := form.open(c.k, c.key, c.field, c.signed)
				require.ErrorIs(t, err, c.want, what)
			}
		})
	}
}

func TestAnyChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	for name, form := range forms {
		signed := form.sign(key, "functions", "oven", []byte(form.content))
		for i := range signed {
			changed := append([]byte{}, signed...)
			changed[i] ^= 1
			_, err := form.open(key, "functions", "oven", changed)
			require.Error(t, err, "%s, byte %d", name, i)
			_, err = form.open(key, "functions", "oven", signed[:i])
			require.Error(t, err, "%s, cut to %d bytes", name, i)
		}
	}
}

func TestASignedObjectIsJSON(t *testing.T) {
	t.Parallel()
	var got map[string]any
	require.NoError(t, json.Unmarshal(key.SignJSON("k", "f", []byte(`{"a":1}`)), &got))
	require.EqualValues(t, 1, got["a"], "a version that knows no MACs still reads it")
}

func TestPasswordsAreForOneUserAndKeyOnly(t *testing.T) {
	t.Parallel()
	require.Equal(t, key.Password("oven"), record.NewKey([]byte("one secret")).Password("oven"))
	require.NotEqual(t, key.Password("oven"), key.Password("baker"))
	require.NotEqual(t, key.Password("oven"), other.Password("oven"))
	require.NotEqual(t, key.ID(), other.ID())
}

func TestMemorySurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.json")
	m, err := record.OpenMemory(path)
	require.NoError(t, err)
	require.False(t, m.Adopted())
	require.Zero(t, m.Least("function oven"))
	require.NoError(t, m.Saw("function oven", 7))
	require.NoError(t, m.Saw("function oven", 5))
	require.NoError(t, m.Saw("function baker", 9))
	require.NoError(t, m.SetAdopted())
	require.NoError(t, m.Forget("function baker"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, err := record.OpenMemory(path)
	require.NoError(t, err)
	require.True(t, again.Adopted())
	require.EqualValues(t, 7, again.Least("function oven"), "the lower one did not count")
	require.Zero(t, again.Least("function baker"))
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.json")
	least := map[string]int64{}
	for i := range 20_001 {
		least[fmt.Sprint("function f", i)] = int64(i + 1)
	}
	text, err := json.Marshal(map[string]any{"least": least})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	m, err := record.OpenMemory(path)
	require.NoError(t, err)
	require.NoError(t, m.Saw("function newest", 1<<60))
	require.Zero(t, m.Least("function f0"), "the oldest is forgotten")
	require.EqualValues(t, 20_001, m.Least("function f20000"))
	require.EqualValues(t, 1<<60, m.Least("function newest"))
}

func TestADamagedMemoryIsSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	_, err := record.OpenMemory(path)
	require.ErrorContains(t, err, "put back the file")
}
