// Package hearthtest makes functions for tests of other packages.
package hearthtest

import (
	"cmp"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Parse returns a function with the options of its deployment, which needs no image.
// It panics if the deployment is not valid.
func Parse(f hearth.Function) hearth.Function {
	d := f.FunctionDeployment
	d.Image = cmp.Or(d.Image, "test:latest")
	parsed, err := hearth.Parse(d)
	if err != nil {
		panic(err)
	}
	f.Options = parsed.Options
	return f
}
