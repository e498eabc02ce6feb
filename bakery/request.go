package bakery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/chain"
)

// Limits of an order.
const (
	MaxBody     = 64 << 10 // bytes
	MaxLines    = 50
	MaxQuantity = 1000 // of one line
	maxCustomer = 80   // characters
)

// An OrderRequest is what a customer orders. Lines of the same cookie are added up.
type OrderRequest struct {
	Customer string   `json:"customer"`
	Items    []Wanted `json:"items"`
}

// Wanted is one line of an OrderRequest.
type Wanted struct {
	Cookie   string `json:"cookie"`
	Quantity int    `json:"quantity"`
}

// An InputError says what is wrong with a request, field by field.
type InputError struct{ Fields []chain.FieldError }

func (e *InputError) Error() string {
	lines := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		lines[i] = f.Detail
		if f.Field != "" {
			lines[i] = f.Field + ": " + f.Detail
		}
	}
	return strings.Join(lines, "; ")
}

func (e *InputError) add(field, format string, args ...any) {
	e.Fields = append(e.Fields, chain.FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (e *InputError) orNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// ParseOrder reads an order such as
//
//	{"customer": "Ada", "items": [{"cookie": "chocolate-chip", "quantity": 6}]}
//
// The customer may be left out. It returns an *InputError that lists all that is wrong.
func ParseOrder(body []byte, menu *Menu) (OrderRequest, error) {
	var (
		wrong InputError
		order struct {
			Customer *string            `json:"customer"`
			Items    *[]json.RawMessage `json:"items"`
		}
	)
	if !decodeObject(body, "", `{"customer": "Ada", "items": [{"cookie": "chocolate-chip", "quantity": 6}]}`,
		&order, &wrong) {
		return OrderRequest{}, wrong.orNil()
	}
	r := OrderRequest{Customer: "guest"}
	if order.Customer != nil {
		r.Customer = strings.TrimSpace(*order.Customer)
		if n := utf8.RuneCountInString(r.Customer); n < 1 || n > maxCustomer {
			wrong.add("customer", "is %d characters long, want 1 to %d", n, maxCustomer)
		} else if strings.ContainsFunc(r.Customer, unicode.IsControl) {
			wrong.add("customer", "has control characters, want a name")
		}
	}
	switch {
	case order.Items == nil:
		wrong.add("items", `is missing; want a list such as [{"cookie": "chocolate-chip", "quantity": 6}]`)
		return r, wrong.orNil()
	case len(*order.Items) == 0:
		wrong.add("items", "is empty: order at least one cookie")
	case len(*order.Items) > MaxLines:
		wrong.add("items", "has %d lines, want at most %d", len(*order.Items), MaxLines)
		return r, wrong.orNil()
	}
	total := map[string]int{}
	for i, raw := range *order.Items {
		if w, ok := parseLine(raw, fmt.Sprintf("items[%d]", i), menu, &wrong); ok {
			total[w.Cookie] += w.Quantity
		}
	}
	for _, cookie := range slices.Sorted(maps.Keys(total)) {
		if total[cookie] > MaxQuantity {
			wrong.add("items", "has %d %s in all, want at most %d of one cookie",
				total[cookie], cookie, MaxQuantity)
		}
	}
	for cookie, quantity := range total {
		r.Items = append(r.Items, Wanted{cookie, quantity})
	}
	sort.Slice(r.Items, func(i, j int) bool { return r.Items[i].Cookie < r.Items[j].Cookie })
	return r, wrong.orNil()
}

func parseLine(raw []byte, field string, menu *Menu, wrong *InputError) (Wanted, bool) {
	var line struct {
		Cookie   *string         `json:"cookie"`
		Quantity json.RawMessage `json:"quantity"`
	}
	before := len(wrong.Fields)
	if !decodeObject(raw, field, `{"cookie": "chocolate-chip", "quantity": 6}`, &line, wrong) {
		return Wanted{}, false
	}
	var w Wanted
	switch {
	case line.Cookie == nil:
		wrong.add(field+".cookie", "is missing; see GET ?view=menu for what there is")
	default:
		if _, ok := menu.Find(*line.Cookie); !ok {
			wrong.add(field+".cookie", "%s", unknownCookie(*line.Cookie, menu))
		}
		w.Cookie = *line.Cookie
	}
	if line.Quantity == nil {
		wrong.add(field+".quantity", "is missing; want a whole number from 1 to %d", MaxQuantity)
	} else if n, ok := wholeNumber(line.Quantity); !ok || n < 1 || n > MaxQuantity {
		wrong.add(field+".quantity", "is %s, want a whole number from 1 to %d",
			shorten(string(line.Quantity)), MaxQuantity)
	} else {
		w.Quantity = n
	}
	return w, len(wrong.Fields) == before
}

func unknownCookie(name string, menu *Menu) string {
	name = shorten(name)
	if near := menu.Nearest(name); len(near) > 0 {
		return fmt.Sprintf("%q is not on the menu; did you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Sprintf("%q is not on the menu; see GET ?view=menu for what there is", name)
}

// shorten keeps what a caller sent from filling the answer.
func shorten(s string) string {
	if utf8.RuneCountInString(s) > 40 {
		return string([]rune(s)[:40]) + "…"
	}
	return s
}

// wholeNumber reads a JSON number as an int. 6 is a whole number; 6.5, "6", 6e400 and null are not.
func wholeNumber(raw []byte) (int, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 0)
	return int(n), err == nil
}

// decodeObject reads one JSON object strictly. What is wrong with it is added to wrong, and example says what
// would be right.
func decodeObject(data []byte, field, example string, into any, wrong *InputError) bool {
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 || trimmed[0] != '{' {
		if len(trimmed) > 0 && json.Valid(trimmed) {
			wrong.add(field, "is not a JSON object; want one such as %s", example)
		} else {
			wrong.add(field, "is not JSON; want an object such as %s", example)
		}
		return false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return exactNames(data, field, example, into, wrong)
		}
		wrong.add(field, "has something behind the JSON object; want one object such as %s", example)
		return false
	}
	at := func(name string) string { return strings.TrimPrefix(field+"."+name, ".") }
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		wrong.add(at(wrongType.Field), "is a %s, want %s", kind(wrongType.Value), wanted(wrongType.Field))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		wrong.add(at(name), "is not a field that is known here; want an object such as %s", example)
	default:
		wrong.add(field, "is not JSON (%s); want an object such as %s",
			strings.TrimPrefix(err.Error(), "json: "), example)
	}
	return false
}

// exactNames refuses fields whose names differ from those of the struct in their case, which encoding/json
// lets pass.
func exactNames(data []byte, field, example string, into any, wrong *InputError) bool {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(data, &fields) // it was decoded before
	known := map[string]bool{}
	for t, i := reflect.TypeOf(into).Elem(), 0; i < t.NumField(); i++ {
		known[t.Field(i).Tag.Get("json")] = true
	}
	ok := true
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !known[name] {
			wrong.add(strings.TrimPrefix(field+"."+name, "."),
				"is not a field that is known here; want an object such as %s", example)
			ok = false
		}
	}
	return ok
}

func kind(jsonValue string) string {
	name, _, _ := strings.Cut(jsonValue, " ")
	return name
}

func wanted(field string) string {
	switch field {
	case "items":
		return "a list"
	case "quantity":
		return fmt.Sprintf("a whole number from 1 to %d", MaxQuantity)
	}
	return "a string"
}
