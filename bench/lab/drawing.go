package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A curve is a line of a plot; with marks, it is points with names, joined by a thin line.
type curve struct {
	name   string
	points plotter.XYs
	marks  bool
	names  []string // of the points
}

// A span is a part of the x axis that a plot marks.
type span struct {
	name     string
	from, to float64
}

// A drawing is what one plot shows.
type drawing struct {
	file, title, x, y string
	log               bool    // the y axis
	top               float64 // the highest value that y can have; 0 if there is none
	mark              span    // none if its name is ""
	curves            []curve
}

const (
	plotWidth   = 26 * vg.Centimeter
	plotHeight  = 13 * vg.Centimeter
	plotMargin  = vg.Length(14)     // points
	legendWidth = 8 * vg.Centimeter // fonts that stand in for ours are up to a fifth wider
)

// A pen tells a curve from the others without its colour: by dashes, and by a symbol on its
// points. The colours are Okabe and Ito's, which people with colour blindness can tell
// apart: https://jfly.uni-koeln.de/color/.
type pen struct {
	color  color.Color
	dashes []vg.Length
	glyph  draw.GlyphDrawer
}

var pens = []pen{
	{color.RGBA{R: 0, G: 114, B: 178, A: 255}, nil, draw.CircleGlyph{}},
	{color.RGBA{R: 213, G: 94, B: 0, A: 255}, []vg.Length{7, 3}, draw.SquareGlyph{}},
	{color.RGBA{R: 0, G: 158, B: 115, A: 255}, []vg.Length{2, 2}, draw.PyramidGlyph{}},
	{color.RGBA{R: 204, G: 121, B: 167, A: 255}, []vg.Length{9, 3, 2, 3}, draw.BoxGlyph{}},
	{color.RGBA{R: 40, G: 40, B: 40, A: 255}, []vg.Length{4, 4}, draw.RingGlyph{}},
	{color.RGBA{R: 230, G: 159, B: 0, A: 255}, []vg.Length{12, 4}, draw.CrossGlyph{}},
}

// width is of the line of a curve. Earlier ones are wider, so that two curves
// with the same values are both seen.
func width(i, curves int) vg.Length { return vg.Points(1.3 + .9*float64(curves-1-i)) }

// symbols is how many symbols a line has.
const symbols = 12

// save draws it as SVG.
func (d drawing) save(dir string) error {
	var svg bytes.Buffer
	c := vgsvg.New(plotWidth, plotHeight)
	if err := d.draw(draw.New(c)); err != nil {
		return err
	}
	if _, err := c.WriteTo(&svg); err != nil {
		return err
	}
	// A reader without the font has one that is as wide.
	out := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	return os.WriteFile(filepath.Join(dir, d.file), out, 0o644)
}

func (d drawing) draw(c draw.Canvas) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	p, legend := plot.New(), plot.NewLegend()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = d.title, d.x, d.y
	p.Title.Padding, p.X.Label.Padding, p.Y.Label.Padding = vg.Points(8), vg.Points(4), vg.Points(4)
	p.BackgroundColor = color.White // pages can be dark
	legend.Top, legend.Left, legend.Padding, legend.ThumbnailWidth = true, true, vg.Points(4), vg.Points(30)
	p.X.Tick.Marker, p.Y.Tick.Marker = linearTicks{}, linearTicks{}
	p.Add(plotter.NewGrid())
	if d.mark.name != "" {
		p.Add(d.mark)
	}
	for i, one := range d.curves {
		if len(one.points) == 0 {
			continue
		}
		if err := one.add(p, &legend, i, len(d.curves)); err != nil {
			return err
		}
	}
	d.scale(p)
	p.Add(d.labels())
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	inside := draw.Crop(c, plotMargin, -plotMargin, plotMargin, -plotMargin)
	p.Draw(draw.Crop(inside, 0, -legendWidth-plotMargin, 0, 0))
	legend.Draw(draw.Crop(inside, plotWidth-2*plotMargin-legendWidth, 0, 0, -vg.Points(30)))
	return nil
}

// add adds a curve, the i-th of some, and its line of the legend.
func (c curve) add(p *plot.Plot, legend *plot.Legend, i, curves int) error {
	with := pens[i%len(pens)]
	line, err := plotter.NewLine(c.points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = with.color, width(i, curves), with.dashes
	shown := c.points
	if c.marks {
		line.Width = vg.Points(.7)
	} else {
		shown = nil
		for s := range symbols { // no two curves have theirs at the same x
			shown = append(shown, c.points[(s*curves+i)*len(c.points)/(symbols*curves)])
		}
	}
	marks, err := plotter.NewScatter(shown)
	if err != nil {
		return err
	}
	marks.Color, marks.Shape, marks.Radius = with.color, with.glyph, vg.Points(3.5)
	p.Add(line, marks)
	legend.Add(c.name, line, marks)
	return nil
}

// scale sets the axes: y begins at 0 or at a labelled tick of a log axis, and goes no further than it can.
func (d drawing) scale(p *plot.Plot) {
	if d.log {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
		p.Y.Min, p.Y.Max = below(.9*p.Y.Min), above(1.1*p.Y.Max) // no line lies on the frame
	} else {
		p.Y.Min = min(0, p.Y.Min)
		if d.top == 0 {
			p.Y.Max += (p.Y.Max - p.Y.Min) * .05
		}
	}
	if d.top > 0 {
		p.Y.Max = d.top
	}
	room := (p.X.Max - p.X.Min) * .03
	p.X.Max += room
	if p.X.Min > 0 {
		p.X.Min = max(0, p.X.Min-room)
	}
}

// linearTicks are five to ten labelled ticks at whole multiples of 1, 2 or 5 of a power of ten.
type linearTicks struct{}

// Ticks implements plot.Ticker.
func (linearTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, times := range []float64{5, 2} {
		if (high-low)/(step*times) >= 5 {
			step *= times
			break
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low/step-1e-9) + 0; n*step <= high+step*1e-9; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return ticks
}

// logTicks are labelled ticks at 1, 2 and 5 of each decade, and small ones between.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high*1.0001; decade *= 10 {
		for step := 1; step < 10; step++ {
			v := decade * float64(step)
			if v < low*.9999 || v > high*1.0001 {
				continue
			}
			t := plot.Tick{Value: v}
			if step == 1 || step == 2 || step == 5 {
				t.Label = strconv.FormatFloat(v, 'g', 6, 64)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// below and above are the nearest labelled ticks of a log axis.
func below(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{5, 2} {
		if decade*step <= v {
			return decade * step
		}
	}
	return decade
}

func above(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5} {
		if decade*step >= v {
			return decade * step
		}
	}
	return decade * 10
}

// Plot implements plot.Plotter: a grey band from top to bottom with its name.
func (s span) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	left, right := max(x(s.from), c.Min.X), min(x(s.to), c.Max.X)
	c.FillPolygon(color.NRGBA{R: 120, G: 120, B: 120, A: 45}, []vg.Point{
		{X: left, Y: c.Min.Y}, {X: right, Y: c.Min.Y}, {X: right, Y: c.Max.Y}, {X: left, Y: c.Max.Y}})
	style := labelStyle()
	style.XAlign, style.YAlign = text.XCenter, text.YTop
	c.FillText(style, vg.Point{X: (left + right) / 2, Y: c.Max.Y - vg.Points(3)}, s.name)
}

func labelStyle() draw.TextStyle {
	return draw.TextStyle{Color: color.Black, Font: font.From(plot.DefaultFont, vg.Points(10)),
		Handler: plot.DefaultTextHandler}
}
