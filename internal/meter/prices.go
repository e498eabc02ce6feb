package meter

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"os"

	"github.com/hearthfaas/hearth/internal/hearth"
	"go.yaml.in/yaml/v3"
)

// Prices are what a bill is made with.
type Prices struct {
	Name     string `json:"name" yaml:"name"`
	Currency string `json:"currency" yaml:"currency"`
	Source   string `json:"source,omitempty" yaml:"source"` // where they are published
	AsOf     string `json:"as_of,omitempty" yaml:"as_of"`   // when they were looked up

	MillionCalls float64 `json:"per_million_calls" yaml:"per_million_calls"`
	GBSecond     float64 `json:"per_gb_second" yaml:"per_gb_second"` // of calls in flight
	// of replicas that live, busy or not
	ReplicaGBSecond float64 `json:"per_replica_gb_second" yaml:"per_replica_gb_second"`
	ReplicaHour     float64 `json:"per_replica_hour" yaml:"per_replica_hour"`
}

//go:embed prices.yaml
var lambda []byte

// LambdaPrices are those that AWS publishes for Lambda.
func LambdaPrices() Prices {
	p, err := parsePrices(lambda)
	if err != nil {
		panic(err)
	}
	return p
}

// ReadPrices reads a file of prices, YAML or JSON. It returns an error of code
// Invalid that says what is wrong with it.
func ReadPrices(path string) (Prices, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Prices{}, err
	}
	p, err := parsePrices(text)
	if err != nil {
		return p, hearth.Errorf(hearth.Invalid, "the prices in %s cannot be used: %w", path, err)
	}
	return p, nil
}

func parsePrices(text []byte) (p Prices, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	if p.Name == "" || p.Currency == "" {
		return p, fmt.Errorf("want a name and a currency")
	}
	for name, price := range map[string]float64{"per_million_calls": p.MillionCalls,
		"per_gb_second": p.GBSecond, "per_replica_gb_second": p.ReplicaGBSecond,
		"per_replica_hour": p.ReplicaHour} {
		if !(price >= 0) || math.IsInf(price, 0) {
			return p, fmt.Errorf("%s is %v, want 0 or more", name, price)
		}
	}
	return p, nil
}

// A Cost is what a usage costs, in the currency of the prices.
type Cost struct {
	Calls    float64 `json:"calls"`
	Busy     float64 `json:"busy"`
	Replicas float64 `json:"replicas"`
	Total    float64 `json:"total"`
}

// Cost is what a usage costs. A call that got no replica costs nothing.
func (p Prices) Cost(u Usage) Cost {
	c := Cost{
		Calls:    float64(u.Calls-min(u.Calls, u.Denied)) / 1e6 * p.MillionCalls,
		Busy:     GBSeconds(u.BusyMemory) * p.GBSecond,
		Replicas: GBSeconds(u.ReplicaMemory)*p.ReplicaGBSecond + float64(u.Replica)/3.6e6*p.ReplicaHour,
	}
	c.Total = c.Calls + c.Busy + c.Replicas
	return c
}
