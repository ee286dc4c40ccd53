package main

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// series are values with one name; NaN is a value that was not measured.
type series struct {
	name   string
	values []float64
}

const (
	plotWidth, plotHeight = 9 * vg.Inch, 4 * vg.Inch
	barGroup              = 0.8 * vg.Inch // the bars of one group, side by side
)

// palette tells series apart, also in grey and for the colour-blind.
var palette = []color.Color{
	color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}, color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff},
	color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
}

// newPlot has no font of the machine in it: the same figures make the same file everywhere.
func newPlot(title, unit string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, unit
	p.Title.TextStyle.Font.Size, p.Title.Padding = 13, 10
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Min = 0
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	return p
}

// bars draws groups of bars, each with its value above it, into a file of the root's docs/images.
func bars(root, name, title, unit string, groups []string, all []series) error {
	p := newPlot(title, unit)
	width := barGroup / vg.Length(len(all))
	for i, s := range all {
		values := make(plotter.Values, len(s.values))
		labels := plotter.XYLabels{XYs: make(plotter.XYs, len(s.values)), Labels: make([]string, len(s.values))}
		for j, v := range s.values {
			if !math.IsNaN(v) {
				values[j], labels.Labels[j] = v, short(v)
			}
			labels.XYs[j] = plotter.XY{X: float64(j), Y: values[j]}
			p.Y.Max = max(p.Y.Max, values[j]*1.25) // room for the legend
		}
		bar, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bar.Offset = width * (vg.Length(i) - vg.Length(len(all)-1)/2)
		bar.Color, bar.LineStyle.Width = palette[i%len(palette)], 0
		above, err := plotter.NewLabels(labels)
		if err != nil {
			return err
		}
		above.Offset = vg.Point{X: bar.Offset, Y: 3}
		for j := range above.TextStyle {
			above.TextStyle[j].XAlign, above.TextStyle[j].Font.Size = text.XCenter, 8
		}
		p.Add(bar, above)
		p.Legend.Add(s.name, bar)
	}
	p.NominalX(groups...)
	return p.Save(plotWidth, plotHeight, image(root, name))
}

// lines draws a line for each series over the numbers at.
func lines(root, name, title, unit, of string, at []float64, all []series) error {
	p := newPlot(title, unit)
	p.X.Label.Text = of
	for i, s := range all {
		var points plotter.XYs
		for j, v := range s.values {
			if !math.IsNaN(v) {
				points = append(points, plotter.XY{X: at[j], Y: v})
			}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = palette[i%len(palette)], 2
		dots.Color, dots.Shape = palette[i%len(palette)], draw.CircleGlyph{}
		p.Add(line, dots)
		p.Legend.Add(s.name, line, dots)
	}
	return p.Save(plotWidth, plotHeight, image(root, name))
}

func image(root, name string) string { return filepath.Join(root, "docs", "images", name+".svg") }

// short is a value with two or three digits that matter.
func short(v float64) string {
	switch {
	case v >= 10:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
