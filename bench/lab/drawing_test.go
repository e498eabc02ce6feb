package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

func TestLogTicksAreLabelledWhateverTheRange(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{30, 200, "50 100 200"},
		{1000, 2000, "1000 2000"},
		{0.2, 10, "0.2 0.5 1 2 5 10"},
	} {
		var got []string
		for _, tick := range (logTicks{}).Ticks(c.low, c.high) {
			require.GreaterOrEqual(t, tick.Value, c.low*.999)
			require.LessOrEqual(t, tick.Value, c.high*1.001)
			if tick.Label != "" {
				got = append(got, tick.Label)
			}
		}
		require.Equal(t, c.want, strings.Join(got, " "))
	}
}

func TestLinearTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 100, "0 20 40 60 80 100"},
		{0, 31, "0 5 10 15 20 25 30"},
		{-2, 645, "0 100 200 300 400 500 600"},
		{0, 1.2, "0 0.2 0.4 0.6 0.8 1 1.2"},
	} {
		var got []string
		for _, tick := range (linearTicks{}).Ticks(c.low, c.high) {
			got = append(got, tick.Label)
		}
		require.Equal(t, c.want, strings.Join(got, " "))
	}
}

func TestLogAxesBeginAndEndAtALabelledTick(t *testing.T) {
	for _, c := range []struct{ v, below, above float64 }{{1013, 1000, 2000}, {37, 20, 50}, {0.6, 0.5, 1},
		{100, 100, 100}, {7, 5, 10}} {
		require.InEpsilon(t, c.below, below(c.v), 1e-9)
		require.InEpsilon(t, c.above, above(c.v), 1e-9)
	}
}

func TestLabelsDoNotOverprint(t *testing.T) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	inside := vg.Rectangle{Max: vg.Point{X: 400, Y: 250}}
	points := []vg.Point{{X: 100, Y: 100}, {X: 104, Y: 101}, {X: 103, Y: 97}, {X: 395, Y: 245},
		{X: 2, Y: 2}, {X: 300, Y: 100}}
	names := []string{"for the peak", "for the mean", "between", "autoscaled, window of 30 s",
		"with room to spare", "monolith"}
	boxes := place(inside, points, names, labelStyle())
	for i, box := range boxes {
		require.InDelta(t, float64(box.Size().X*box.Size().Y), float64(overlap(box, inside)), .01,
			"%s is outside", names[i])
		for j := range boxes[:i] {
			require.Zero(t, overlap(box, boxes[j]), "%s and %s", names[i], names[j])
		}
		for _, p := range points {
			covered := p.X > box.Min.X && p.X < box.Max.X && p.Y > box.Min.Y && p.Y < box.Max.Y
			require.False(t, covered, "%s covers a point", names[i])
		}
	}
}

// Two curves with the same values must both be seen: the earlier one is wider,
// and no two have the same dashes.
func TestCurvesAreToldApartWithoutColour(t *testing.T) {
	for i := range pens {
		for j := range i {
			require.NotEqual(t, pens[i].dashes, pens[j].dashes)
			require.NotEqual(t, pens[i].glyph, pens[j].glyph)
			require.Less(t, width(i, len(pens)), width(j, len(pens)))
		}
	}
}

func TestPercentAxisEndsAtAHundred(t *testing.T) {
	dir := t.TempDir()
	d := drawing{file: "p.svg", title: "Waits", x: "minutes", y: "% of the orders", top: 100, curves: []curve{
		{name: "one", points: plotter.XYs{{X: 0, Y: 0}, {X: 10, Y: 100}}},
		{name: "another", points: plotter.XYs{{X: 0, Y: 0}, {X: 10, Y: 100}}},
	}, mark: span{"the rush", 2, 5}}
	require.NoError(t, d.save(dir))
	svg, err := os.ReadFile(filepath.Join(dir, "p.svg"))
	require.NoError(t, err)
	require.Contains(t, string(svg), ">100<")
	require.Contains(t, string(svg), ">the rush<")
	require.Contains(t, string(svg), ">another<")
	for _, above := range []string{">110<", ">120<", ">125<", ">150<"} {
		require.False(t, bytes.Contains(svg, []byte(above)), above)
	}
}
