package hearth

import (
	"net/url"
	"slices"
	"strings"
)

// AnyOrigin allows the pages of all origins.
const AnyOrigin = "*"

// Origins are those whose pages may call the function from a browser and read its answers: its annotation
// com.hearth.cors, a list with commas, or AnyOrigin. Without it, that is left to the function.
func (f Function) Origins() []string {
	var origins []string
	for o := range strings.SplitSeq(f.Annotation(annotationCORS), ",") {
		if o = strings.ToLower(strings.TrimSpace(o)); o != "" && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	return origins
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
