package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
	"github.com/redis/go-redis/v9"
)

// A tray is what the bakery's books say of one: when it got to each stage, in ms since 1970, 0 for never.
type tray struct {
	ID     string `json:"id"`
	Cookie string `json:"cookie"`
	State  string `json:"state"`
	Asked  int64  `json:"asked"`
	Mixed  int64  `json:"mixed"`
	InOven int64  `json:"in_oven"`
	Baked  int64  `json:"baked"`
}

// readTrays reads all trays that there are, and that there were.
func readTrays(ctx context.Context, socket string) ([]tray, error) {
	password, err := testbed.PasswordOf(socket)
	if err != nil {
		return nil, err
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Password: password})
	defer func() { _ = rdb.Close() }()
	var all []tray
	for _, key := range []string{"{bakery}:trays", "{bakery}:trays:past"} {
		records, err := rdb.HVals(ctx, key).Result()
		if err != nil {
			return nil, fmt.Errorf("read the books: %w", err)
		}
		for _, text := range records {
			var t tray
			if err := json.Unmarshal([]byte(text), &t); err != nil {
				return nil, fmt.Errorf("read a tray of the books: %w", err)
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// A series is a value at each step of a time that begins with the first order.
type series struct {
	step   time.Duration
	values []float64
}

// spans counts, at each step, how many of the spans are under way: each is from one moment to another, in ms
// since 1970; one that has no end lasts until the end.
func spans(began time.Time, length, step time.Duration, list [][2]int64) series {
	s := series{step: step, values: make([]float64, int(length/step)+1)}
	for _, span := range list {
		if span[0] == 0 {
			continue
		}
		for i := range s.values {
			at := began.Add(time.Duration(i) * step).UnixMilli()
			if at >= span[0] && (span[1] == 0 || at < span[1]) {
				s.values[i]++
			}
		}
	}
	return s
}

// waiting are the trays that are asked for and not in an oven yet.
func waiting(trays []tray) [][2]int64 {
	var list [][2]int64
	for _, t := range trays {
		list = append(list, [2]int64{t.Asked, t.InOven})
	}
	return list
}

// baking are the trays that are in an oven.
func baking(trays []tray) [][2]int64 {
	var list [][2]int64
	for _, t := range trays {
		list = append(list, [2]int64{t.InOven, t.Baked})
	}
	return list
}
