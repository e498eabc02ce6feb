package main

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Labels are the names of points, each beside its point where it covers no other name and no point.
type labels struct {
	points []vg.Point // in data, as X and Y of the plot
	names  []string
}

// labels are the names of all marked curves together, since they must not overprint each other.
func (d drawing) labels() labels {
	var l labels
	for _, c := range d.curves {
		if !c.marks {
			continue
		}
		for i, xy := range c.points {
			l.points = append(l.points, vg.Point{X: vg.Length(xy.X), Y: vg.Length(xy.Y)})
			l.names = append(l.names, c.names[i])
		}
	}
	return l
}

// Plot implements plot.Plotter.
func (l labels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	points := make([]vg.Point, len(l.points))
	for i, at := range l.points {
		points[i] = vg.Point{X: x(float64(at.X)), Y: y(float64(at.Y))}
	}
	style := labelStyle()
	for i, box := range place(c.Rectangle, points, l.names, style) {
		c.FillText(style, vg.Point{X: box.Min.X, Y: box.Min.Y - style.Rectangle(l.names[i]).Min.Y},
			l.names[i])
	}
}

// place finds a place for each name: of some around its point, the first that is inside and covers
// nothing, else the one that covers least.
func place(inside vg.Rectangle, points []vg.Point, names []string, style draw.TextStyle) []vg.Rectangle {
	const gap, radius = vg.Length(3), vg.Length(4)
	var taken []vg.Rectangle
	for _, p := range points {
		taken = append(taken, vg.Rectangle{Min: vg.Point{X: p.X - radius, Y: p.Y - radius},
			Max: vg.Point{X: p.X + radius, Y: p.Y + radius}})
	}
	boxes := make([]vg.Rectangle, len(points))
	for i, p := range points {
		size := style.Rectangle(names[i]).Size()
		best := vg.Length(-1)
		for ring := vg.Length(1); ring <= 5 && best != 0; ring++ {
			for _, side := range [][2]vg.Length{{1, 0}, {1, 1}, {1, -1}, {0, 1}, {0, -1}, {-1, 0},
				{-1, 1}, {-1, -1}} {
				center := vg.Point{
					X: p.X + side[0]*(size.X/2+radius+gap*ring),
					Y: p.Y + side[1]*(size.Y/2+radius+gap*ring),
				}
				box := vg.Rectangle{Min: vg.Point{X: center.X - size.X/2, Y: center.Y - size.Y/2},
					Max: vg.Point{X: center.X + size.X/2, Y: center.Y + size.Y/2}}
				covers := size.X*size.Y - overlap(box, inside) // what is outside is as bad
				for _, t := range taken {
					covers += overlap(box, t)
				}
				if best < 0 || covers < best {
					best, boxes[i] = covers, box
				}
				if best <= 0 {
					break
				}
			}
		}
		taken = append(taken, boxes[i])
	}
	return boxes
}

// overlap is the area that two rectangles share.
func overlap(a, b vg.Rectangle) vg.Length {
	w := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	h := min(a.Max.Y, b.Max.Y) - max(a.Min.Y, b.Min.Y)
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h
}
