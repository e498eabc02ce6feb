package bakery

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

//go:embed menu.json
var defaultMenu []byte

// A Menu is what the bakery bakes.
type Menu struct {
	Bakes []Recipe `json:"bakes"`

	byName map[string]Recipe
}

// A Recipe is how a tray of one cookie is made, and what a piece costs.
type Recipe struct {
	Name        string         `json:"name"`        // such as chocolate-chip
	Title       string         `json:"title"`       // for people
	Tray        int            `json:"tray"`        // pieces on a tray
	Minutes     int            `json:"minutes"`     // in the oven, in bakery time
	PriceCents  int            `json:"price_cents"` // of one piece
	Ingredients map[string]int `json:"ingredients"` // grams for a tray
}

var bakeName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// ReadMenu reads and checks a menu: a JSON file, or the built-in one if the path is empty.
func ReadMenu(path string) (*Menu, error) {
	data := defaultMenu
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("menu: %w", err)
		}
	}
	return ParseMenu(data)
}

// ParseMenu reads a menu and checks it whole: the error lists all that is wrong.
func ParseMenu(data []byte) (*Menu, error) {
	m := &Menu{byName: map[string]Recipe{}}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("menu: %w", err)
	}
	var wrong []error
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("menu: "+format, args...))
	}
	if len(m.Bakes) == 0 {
		complain("no bakes")
	}
	for i, b := range m.Bakes {
		if !bakeName.MatchString(b.Name) {
			complain("bake %d: the name %q must be lower-case words joined by dashes", i+1, b.Name)
			continue
		}
		if _, ok := m.byName[b.Name]; ok {
			complain("%s is there twice", b.Name)
		}
		if b.Tray < 1 || b.Tray > 9999 {
			complain("%s: tray is %d pieces, want 1 to 9999", b.Name, b.Tray)
		}
		if b.Minutes < 1 || b.Minutes > 24*60 {
			complain("%s: minutes is %d, want 1 to %d", b.Name, b.Minutes, 24*60)
		}
		if b.PriceCents < 1 {
			complain("%s: price_cents is %d, want at least 1", b.Name, b.PriceCents)
		}
		if len(b.Ingredients) == 0 {
			complain("%s has no ingredients", b.Name)
		}
		for name, grams := range b.Ingredients {
			if !bakeName.MatchString(name) || grams < 1 {
				complain("%s: ingredient %q of %d g: want a lower-case name and at least 1 g",
					b.Name, name, grams)
			}
		}
		m.byName[b.Name] = b
	}
	return m, errors.Join(wrong...)
}

// Find is the bake of that name.
func (m *Menu) Find(name string) (Recipe, bool) {
	b, ok := m.byName[name]
	return b, ok
}

// Nearest are up to three names on the menu that somebody who wrote this name may have meant, the nearest
// first.
func (m *Menu) Nearest(name string) []string {
	type guess struct {
		name     string
		distance int
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if len(name) > 100 {
		return nil
	}
	var guesses []guess
	for _, b := range m.Bakes {
		d := levenshtein.ComputeDistance(name, b.Name)
		near := d <= max(2, len(b.Name)/3)
		// one word of two may be all that was written, and that wrongly
		for word := range strings.SplitSeq(b.Name, "-") {
			if w := levenshtein.ComputeDistance(name, word); w <= max(1, len(word)/4) {
				d, near = min(d, w+1), true
			}
		}
		if name != "" && (strings.Contains(b.Name, name) || strings.Contains(name, b.Name)) {
			d, near = 1, true
		}
		if near {
			guesses = append(guesses, guess{b.Name, d})
		}
	}
	sort.SliceStable(guesses, func(i, j int) bool { return guesses[i].distance < guesses[j].distance })
	var names []string
	for _, g := range guesses[:min(3, len(guesses))] {
		names = append(names, g.name)
	}
	return names
}

// Ingredients are the names of all ingredients of the menu, sorted.
func (m *Menu) Ingredients() []string {
	var names []string
	for _, b := range m.Bakes {
		for name := range b.Ingredients {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Stock is what so many trays of each bake need, in grams.
func (m *Menu) Stock(trays int) map[string]int {
	grams := map[string]int{}
	for _, b := range m.Bakes {
		for name, g := range b.Ingredients {
			grams[name] += g * trays
		}
	}
	return grams
}

// Longest is the bake that takes the most time.
func (m *Menu) Longest() Recipe {
	return slices.MaxFunc(m.Bakes, func(a, b Recipe) int { return a.Minutes - b.Minutes })
}

// mean is the average time in the oven, in bakery time.
func (m *Menu) mean() time.Duration {
	sum := 0
	for _, b := range m.Bakes {
		sum += b.Minutes
	}
	return time.Duration(sum) * time.Minute / time.Duration(len(m.Bakes))
}
