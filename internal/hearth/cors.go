package hearth

import (
	"fmt"
	"net/url"
	"strings"
)

// AnyOrigin allows the pages of all origins.
const AnyOrigin = "*"

// readOrigins reads the annotation com.hearth.cors.
func readOrigins(p *parser, value string) error {
	p.Origins = splitList(strings.ToLower(value))
	for _, o := range p.Origins {
		if !isOrigin(o) {
			return fmt.Errorf("%q is not an origin, want * or origins such as https://shop.example.com, "+
				"separated by commas",
				clip(o))
		}
	}
	return nil
}

// isOrigin reports whether a text is an origin as browsers write it, or AnyOrigin.
func isOrigin(text string) bool {
	if text == AnyOrigin {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		!strings.Contains(u.Host, "*") && text == u.Scheme+"://"+u.Host
}
