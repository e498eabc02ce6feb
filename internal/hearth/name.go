package hearth

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultNamespace is the one that faas-cli appends when none is given, so it cannot have another name.
const DefaultNamespace = "openfaas-fn"

// A Name is a function's name in its namespace.
type Name struct {
	Function  string
	Namespace string
}

// String is the name with its namespace, such as "oven.openfaas-fn".
func (n Name) String() string { return n.Function + "." + n.Namespace }

// Short is the name as people write it: without the default namespace.
func (n Name) Short() string {
	if n.Namespace == DefaultNamespace {
		return n.Function
	}
	return n.String()
}

// dnsLabel is RFC 1123's: what OpenFaaS allows as a function's name and as a namespace.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsDNSLabel reports whether a string may be the name of a function or of a namespace.
func IsDNSLabel(s string) bool { return dnsLabel.MatchString(s) }

// ParseName reads "oven" or "oven.openfaas-fn". It returns an error of code
// Invalid if a part is not a DNS label.
func ParseName(s string) (Name, error) {
	function, namespace, found := strings.Cut(s, ".")
	if !found {
		namespace = DefaultNamespace
	}
	n := Name{function, namespace}
	return n, n.Validate()
}

// Validate returns an error of code Invalid if a part of the name is not a DNS label.
func (n Name) Validate() error {
	const rule = "want lower-case letters, digits and inner dashes, at most 63 of them"
	if !IsDNSLabel(n.Function) {
		return Errorf(Invalid, "the function name %q is not valid: %s", clip(n.Function), rule)
	}
	if !IsDNSLabel(n.Namespace) {
		return Errorf(Invalid, "the namespace %q is not valid: %s", clip(n.Namespace), rule)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%.80s…", s)
	}
	return s
}
