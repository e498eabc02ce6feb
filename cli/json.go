package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// WriteJSON prints v as --json does in every command: indented, with names in snake_case, and with every
// field whatever its value and tags. An empty list is [], an empty object {}, and an unknown value null.
func WriteJSON(out io.Writer, v any) error {
	var indented bytes.Buffer
	line, err := appendValue(nil, reflect.ValueOf(v))
	if err != nil {
		return err
	}
	if err := json.Indent(&indented, line, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, indented.String())
	return err
}

// WriteJSONLine prints v like WriteJSON, in one line.
func WriteJSONLine(out io.Writer, v any) error {
	line, err := appendValue(nil, reflect.ValueOf(v))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

func appendValue(b []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	switch own := v.Interface().(type) {
	case time.Time:
		if own.IsZero() {
			return append(b, "null"...), nil
		}
		return appendLeaf(b, own)
	case json.Marshaler, encoding.TextMarshaler, []byte:
		return appendLeaf(b, own)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return appendValue(b, v.Elem())
	case reflect.Slice, reflect.Array:
		return appendList(b, v)
	case reflect.Map:
		return appendMap(b, v)
	case reflect.Struct:
		b, err := appendFields(append(b, '{'), v)
		return append(bytes.TrimSuffix(b, []byte(",")), '}'), err
	}
	return appendLeaf(b, v.Interface())
}

func appendLeaf(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

func appendList(b []byte, v reflect.Value) (_ []byte, err error) {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendMap keeps keys unchanged: the names of labels and variables belong to users.
func appendMap(b []byte, v reflect.Value) ([]byte, error) {
	values := map[string]json.RawMessage{}
	for entries := v.MapRange(); entries.Next(); {
		value, err := appendValue(nil, entries.Value())
		if err != nil {
			return nil, err
		}
		values[fmt.Sprint(entries.Key())] = value
	}
	return appendLeaf(b, values)
}

// appendFields appends the fields of a struct and of its embedded structs, each followed by a comma.
func appendFields(b []byte, v reflect.Value) (_ []byte, err error) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-", !field.IsExported() && !field.Anonymous:
			continue
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			if b, err = appendFields(b, v.Field(i)); err != nil {
				return nil, err
			}
			continue
		case name == "":
			name = field.Name
		}
		if b, err = appendLeaf(b, snake(name)); err != nil {
			return nil, err
		}
		if b, err = appendValue(append(b, ':'), v.Field(i)); err != nil {
			return nil, err
		}
		b = append(b, ',')
	}
	return b, nil
}

// snake converts a name such as asyncUrl or CallID to async_url or call_id.
func snake(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(letters[i-1]) ||
			i+1 < len(letters) && unicode.IsLower(letters[i+1])) && letters[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
