package bakery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	sdk "github.com/openfaas/go-sdk"
)

// maxGrams is the most of one ingredient that one restock brings: a thousand tons.
const maxGrams = 1_000_000_000

// A Fridge is what is in it, and what was ever put into it, in grams.
type Fridge struct {
	Ingredients map[string]int `json:"ingredients"`
	Restocked   map[string]int `json:"restocked"`
	Parked      int            `json:"parked"` // trays that wait for ingredients
}

// LookIntoFridge is what is in the fridge now.
func LookIntoFridge(ctx context.Context) (Fridge, error) {
	f := Fridge{Ingredients: map[string]int{}, Restocked: map[string]int{}}
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return f, err
	}
	pipe := rdb.Pipeline()
	fridge, totals := pipe.HGetAll(ctx, keyFridge), pipe.HGetAll(ctx, keyTotals)
	parked := pipe.ZCard(ctx, keyParked)
	if _, err := pipe.Exec(ctx); err != nil {
		return f, fmt.Errorf("look into the fridge: %w", err)
	}
	for _, name := range config(ctx).Menu.Ingredients() {
		f.Ingredients[name] = 0
	}
	for name, grams := range fridge.Val() {
		f.Ingredients[name], _ = strconv.Atoi(grams)
	}
	for name, grams := range totals.Val() {
		if ingredient, ok := strings.CutPrefix(name, "restocked:"); ok {
			f.Restocked[ingredient], _ = strconv.Atoi(grams)
		}
	}
	f.Parked = int(parked.Val())
	return f, nil
}

// ParseRestock reads what is put into the fridge, such as {"ingredients": {"flour": 50000}}, in grams. It
// returns an *InputError that lists all that is wrong.
func ParseRestock(ctx context.Context, body []byte) (map[string]int, error) {
	const example = `{"ingredients": {"flour": 50000, "butter": 20000}}`
	var (
		wrong InputError
		in    struct {
			Ingredients map[string]json.RawMessage `json:"ingredients"`
		}
	)
	if !decodeObject(body, "", example, &in, &wrong) {
		return nil, wrong.orNil()
	}
	if len(in.Ingredients) == 0 {
		wrong.add("ingredients", "is empty; want grams by ingredient, such as %s", example)
	}
	known := config(ctx).Menu.Ingredients()
	amounts := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(in.Ingredients)) {
		field := "ingredients." + shorten(name)
		if !slices.Contains(known, name) {
			wrong.add(field, "is in no recipe; the ingredients are %s", strings.Join(known, ", "))
			continue
		}
		n, ok := wholeNumber(in.Ingredients[name])
		if !ok || n < 1 || n > maxGrams {
			wrong.add(field, "is %s, want whole grams from 1 to %d",
				shorten(string(in.Ingredients[name])), maxGrams)
			continue
		}
		amounts[name] = n
	}
	return amounts, wrong.orNil()
}

// A Restocked says what a restock did.
type Restocked struct {
	Repeated bool `json:"repeated"` // the same restock was done before; nothing was done now
	Woken    int  `json:"woken"`    // parked trays that go to the baker again
}

// ErrRestockConflict means that the Idempotency-Key was used for other amounts.
var ErrRestockConflict = errors.New("the Idempotency-Key was used for another restock")

// Restock puts ingredients into the fridge, in grams, and wakes the parked trays that they suffice for. The
// same key does it once; with other amounts it is ErrRestockConflict. Without a key every call does it.
func Restock(ctx context.Context, amounts map[string]int, key string) (Restocked, error) {
	if key == "" {
		key = "random " + rand.Text()
	}
	text, err := json.Marshal(amounts) // maps are written in the order of their keys
	if err != nil {
		return Restocked{}, err
	}
	sum := sha256.Sum256(text)
	in := struct {
		args
		Key     string          `json:"key"`
		Digest  string          `json:"digest"`
		Amounts map[string]int  `json:"amounts"`
		Menu    map[string]bool `json:"menu"`
	}{common(ctx), key, hex.EncodeToString(sum[:16]), amounts, map[string]bool{}}
	for _, b := range config(ctx).Menu.Bakes {
		in.Menu[b.Name] = true
	}
	var reply struct {
		Restocked
		Conflict bool `json:"conflict"`
	}
	if err := apply(ctx, restockScript, in, &reply); err != nil {
		return Restocked{}, err
	}
	if reply.Conflict {
		return Restocked{}, ErrRestockConflict
	}
	return reply.Restocked, nil
}

// IsManager reports whether a call carries the secret manager-key as its bearer token. It returns an error if
// this function was not given the secret.
func IsManager(header http.Header) (bool, error) {
	key, err := sdk.ReadSecret("manager-key")
	if err != nil || key == "" {
		return false, errors.New("this function has no secret manager-key: create it, " +
			"and name it under the function's secrets in stack.yml")
	}
	token, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(key)) == 1, nil
}
