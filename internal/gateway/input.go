package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// An input has the parameters of a management request from its path, query and body, with names in any case.
// OpenFaaS's clients put the same parameter in different places. A parameter in an unexpected place would be
// ignored, and a default used instead: the request would change another function than the one it names. So
// all places are read, and a request that contradicts itself is refused.
type input struct {
	text   []byte                       // the body
	body   map[string][]json.RawMessage // its fields, by folded name
	query  map[string][]string          // by folded name
	spelt  map[string]string            // how the client spells a folded name
	looked map[string]bool              // the folded names that somebody has looked for
}

// Names under which clients send the same parameter.
var (
	functionNames  = []string{"functionName", "function", "serviceName", "service", "name"}
	secretNames    = []string{"name", "secretName", "secret"}
	namespaceNames = []string{"namespace"}
)

// fold returns the same text for a name in any case, as encoding/json does.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// mostOf returns how many bytes the body of a management request may have.
func mostOf(r *http.Request) int64 {
	if r.URL.Path == editPath {
		return maxEditBody
	}
	return maxSystemBody
}

// readInput reads a request. It returns an error of code Invalid for a body that is no JSON object.
func readInput(r *http.Request) (*input, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, mostOf(r)))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, hearth.Errorf(hearth.Invalid, "the body is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the body ended early")
	}
	in := &input{
		text:   bytes.TrimSpace(text),
		body:   map[string][]json.RawMessage{},
		query:  map[string][]string{},
		spelt:  map[string]string{},
		looked: map[string]bool{},
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the query cannot be read: %v", err)
	}
	for name, values := range query {
		in.query[fold(name)] = append(in.query[fold(name)], values...)
		in.spelt[fold(name)] = name
	}
	if len(in.text) == 0 {
		return in, nil
	}
	if err := in.decode(&map[string]json.RawMessage{}); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(in.text))
	_, _ = d.Token() // the brace
	for d.More() {   // not a map, in which a repeated name would be once
		var value json.RawMessage
		name, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, hearth.Errorf(hearth.Invalid, "the body is not JSON of the right form: %v", err)
		}
		key := fold(name.(string))
		if !bytes.Equal(value, []byte("null")) {
			in.body[key] = append(in.body[key], value)
		}
		in.spelt[key] = name.(string)
	}
	return in, in.twice()
}

// twice returns an error if the body has a field twice with different values: decoding would use the last
// one.
func (in *input) twice() error {
	for _, key := range slices.Sorted(maps.Keys(in.body)) {
		for _, value := range in.body[key] {
			if !bytes.Equal(compact(value), compact(in.body[key][0])) {
				return hearth.Errorf(hearth.Invalid,
					"the body has the field %.80s twice, with different values", in.spelt[key])
			}
		}
	}
	return nil
}

func compact(value json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, value) != nil {
		return value
	}
	return out.Bytes()
}

// decode reads the body into a value.
func (in *input) decode(v any) error {
	err := json.Unmarshal(in.text, v)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind) && kind.Field != "":
		return hearth.Errorf(hearth.Invalid, "the field %s must not be a JSON %s", kind.Field, kind.Value)
	case kind != nil:
		return hearth.Errorf(hearth.Invalid, "the body is a JSON %s, want an object", kind.Value)
	}
	return hearth.Errorf(hearth.Invalid, "the body is not JSON of the right form: %v", err)
}

// fields decodes the body into a value and marks the value's fields as known. Without a body the value is
// unchanged.
func (in *input) fields(v any, known ...string) error {
	in.know(known...)
	if len(in.text) == 0 {
		return nil
	}
	return in.decode(v)
}

// know marks fields and query parameters as known to this endpoint.
func (in *input) know(names ...string) {
	for _, name := range names {
		in.looked[fold(name)] = true
	}
}

// value returns the value of a parameter with any of some names, or "". An empty value counts as missing. If
// the request contradicts itself, it returns an error of code Invalid with both values. path is the value
// from the path, or "".
func (in *input) value(what, path string, names ...string) (string, error) {
	in.know(names...)
	value, from := path, "the path"
	also := func(other, place string) error {
		switch {
		case other == "" || other == value:
		case value == "":
			value, from = other, place
		default:
			return hearth.Errorf(hearth.Invalid, "the request names two %ss: %.80q in %s, and %.80q in %s",
				what, value, from, other, place)
		}
		return nil
	}
	for _, name := range names {
		key := fold(name)
		for _, raw := range in.body[key] {
			text, err := scalar(raw)
			if err != nil {
				return "", hearth.Errorf(hearth.Invalid, "the field %.80s is %v, want the %s", in.spelt[key],
					err, what)
			}
			if err := also(text, "the field "+in.spelt[key]); err != nil {
				return "", err
			}
		}
		for _, text := range in.query[key] {
			if err := also(text, "the query's "+in.spelt[key]); err != nil {
				return "", err
			}
		}
	}
	return value, nil
}

// scalar returns a JSON string, number or boolean as text.
func scalar(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	if raw[0] == '{' || raw[0] == '[' {
		return "", errors.New("not a single value")
	}
	return string(raw), nil
}

// last returns the last value of a query parameter.
func (in *input) last(name string) string {
	in.know(name)
	if all := in.query[fold(name)]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// namespace returns the namespace that the request names, or the default one.
func (in *input) namespace() (string, error) {
	namespace, err := in.value("namespace", "", namespaceNames...)
	return namespaceOf(namespace), err
}

// function returns the function that the request is about, with the namespace after a dot or from a parameter
// of its own. named is false if the request names no function.
func (in *input) function(path string) (n hearth.Name, named bool, err error) {
	full, err := in.value("function", "", functionNames...)
	if err != nil {
		return n, false, err
	}
	separate, err := in.value("namespace", "", namespaceNames...)
	if err != nil {
		return n, false, err
	}
	for _, text := range []string{path, full} {
		if text == "" {
			continue
		}
		function, namespace, _ := strings.Cut(text, ".")
		if n.Function != "" && n.Function != function {
			return n, false,
				hearth.Errorf(hearth.Invalid, "the path names %.80s, and the request %.80s", path, full)
		}
		n.Function = function
		if namespace == "" {
			continue
		}
		if separate != "" && separate != namespace {
			return n, false, hearth.Errorf(hearth.Invalid,
				"the request names two namespaces: %.80q with the function, and %.80q", namespace, separate)
		}
		separate = namespace
	}
	n.Namespace = namespaceOf(separate)
	return n, n.Function != "", nil
}

// theFunction is function for an endpoint that needs one. It returns an error of code Invalid if the name is
// missing or not valid.
func (in *input) theFunction(path string) (hearth.Name, error) {
	n, named, err := in.function(path)
	if err != nil {
		return n, err
	}
	if !named {
		return n, hearth.Errorf(hearth.Invalid,
			"the name of the function is missing: want functionName, or service in a deployment")
	}
	return n, n.Validate()
}

// queueOwner returns the function whose queues the request selects, with its namespace, or "" for all queues.
// It returns an error of code Invalid for an unknown parameter: without it, more would be selected than the
// client means.
func (in *input) queueOwner() (string, error) {
	n, named, err := in.function("")
	switch {
	case err != nil:
		return "", err
	case named:
		return n.String(), errors.Join(n.Validate(), in.strict())
	case len(in.body["namespace"]) > 0 || len(in.query["namespace"]) > 0:
		return "", hearth.Errorf(hearth.Invalid, "the request names a namespace, but no function in it")
	}
	return "", in.strict()
}

// unknown returns the fields and query parameters that are not known, as the client spells them.
func (in *input) unknown() (names []string) {
	for _, key := range slices.Sorted(maps.Keys(in.spelt)) {
		if !in.looked[key] {
			names = append(names, in.spelt[key])
		}
	}
	return names
}

// strict returns an error of code Invalid if the request has unknown fields. It is for requests that remove
// or end something: an unknown field may name the target.
func (in *input) strict() error {
	if names := in.unknown(); len(names) > 0 {
		return hearth.Errorf(hearth.Invalid,
			"nothing was done: the request has the unknown field %.80q, which may name what is meant",
			names[0])
	}
	return nil
}

// warnUnknown returns a warning for each unknown field, for requests that are executed anyway.
func (in *input) warnUnknown() (list []string) {
	for _, name := range in.unknown() {
		list = append(list, fmt.Sprintf("%.80q has no effect: Hearth does not know it", name))
	}
	return list
}

// maxWarnings limits the warnings of an answer, and maxWarning the length of each, because clients limit
// headers.
const (
	maxWarnings = 20
	maxWarning  = 300
)

// warn adds Warning headers to an answer. See RFC 7234, section 5.5: 299 is a miscellaneous persistent
// warning.
func warn(w http.ResponseWriter, list []string) {
	for _, text := range list[:min(len(list), maxWarnings)] {
		plain := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, text)
		if len(plain) > maxWarning {
			plain = plain[:maxWarning-3] + "..."
		}
		w.Header().Add("Warning", `299 hearth "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(plain)+`"`)
	}
}
