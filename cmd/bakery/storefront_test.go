package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeDayEnv writes the storefront's day anew.
const writeDayEnv = "HEARTH_WRITE_DAY"

// TestTheStorefrontReplaysTheRecordedDay compares the day that the page of the storefront replays with the
// file that it was made from, read as replay reads it.
func TestTheStorefrontReplaysTheRecordedDay(t *testing.T) {
	t.Parallel()
	const day = "2024-03-02"
	menuOf, err := readItems("")
	require.NoError(t, err)
	f, err := os.Open("testdata/made-up-days.csv")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	recorded, err := readSales(f, day, menuOf)
	require.NoError(t, err)
	var text bytes.Buffer
	text.WriteString(`{"source": "a made-up day of a bakery's till", "day": "` + day + "\",\n\"orders\": [")
	for i, s := range recorded.sales {
		items := map[string]int{}
		for _, item := range s.items {
			items[item.Cookie] += item.Quantity
		}
		line, err := json.Marshal([]any{int(s.at.Sub(recorded.sales[0].at).Seconds()), items})
		require.NoError(t, err)
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString("\n" + string(line))
	}
	text.WriteString("\n]}\n")
	path := filepath.Join("..", "..", "functions", "storefront", "assets", "day.json")
	if os.Getenv(writeDayEnv) != "" {
		require.NoError(t, os.WriteFile(path, text.Bytes(), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text.String(), string(have), "run the test again with %s=1", writeDayEnv)
}
