package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type embedded struct {
	EnvProcess string             `json:"envProcess,omitempty"`
	Labels     *map[string]string `json:"labels,omitempty"`
}

type eta struct{ unknown bool }

func (e eta) MarshalJSON() ([]byte, error) {
	if e.unknown {
		return nil, errors.New("unknown")
	}
	return []byte(`"soon"`), nil
}

func TestJSONHasOneStyleAndEveryField(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"com.openfaas.scale.minReplicas": "1"}
	const everyField = `{"env_process":"","labels":null,"async_url":"u","call_id":"","count":0,"list":[],` +
		`"of":{},"at":null,"eta":"soon","body":"Gw==","any":null}`
	for want, v := range map[string]any{
		everyField: struct {
			embedded
			AsyncURL string         `json:"asyncUrl"`
			CallID   string         `json:",omitempty"`
			Count    int            `json:"count,omitempty"`
			List     []string       `json:"list,omitempty"`
			Of       map[string]int `json:"of,omitempty"`
			At       time.Time      `json:"at,omitzero"`
			ETA      eta            `json:"eta"`
			Body     []byte         `json:"body,omitempty"`
			Any      any            `json:"any"`
			Hidden   string         `json:"-"`
			private  int
		}{AsyncURL: "u", Body: []byte{27}, Hidden: "x", private: 1},
		`[{"env_process":"x","labels":{"com.openfaas.scale.minReplicas":"1"}}]`: []*embedded{{"x", &labels}},
		`null`:    nil,
		`{"a":1}`: map[string]int{"a": 1},
		`{}`:      struct{}{},
	} {
		var line, indented bytes.Buffer
		require.NoError(t, WriteJSONLine(&line, v))
		require.Equal(t, want+"\n", line.String())
		require.NoError(t, WriteJSON(&indented, v))
		require.JSONEq(t, want, indented.String())
		require.True(t, json.Valid(line.Bytes()))
	}
	require.Error(t, WriteJSON(&bytes.Buffer{}, math.NaN()))
	require.Error(t, WriteJSON(&bytes.Buffer{}, eta{true}))
	require.Error(t, WriteJSON(&bytes.Buffer{}, map[string]any{"list": []any{struct{ E eta }{eta{true}}}}))
}
