package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/logs"
	"github.com/spf13/cobra"
)

// logReader prints the log of a function. To follow a log it sends further requests,
// since gateways end a response after a time.
type logReader struct {
	client             *client
	name               hearth.Name
	follow             bool
	timestamps, prefix bool
	lines              int
	since, instance    string
	out, errOut        io.Writer
	from               time.Time // the value of --since
	began              bool      // a response has begun
	oldest, newest     time.Time // printed messages
	recent             map[logLine]int
	tidyAt             int
	pause              time.Duration
}

// logLine identifies a message.
type logLine struct {
	at             int64
	instance, text string
}

const (
	// logOverlap is how far a request reaches back before the newest printed message: replicas write
	// concurrently, so messages may arrive out of order.
	logOverlap = 2 * time.Second
	maxPause   = 5 * time.Second
)

func newLogs() *cobra.Command {
	c := &client{}
	l := &logReader{client: c}
	var namespace string
	cmd := &cobra.Command{
		Use:     "logs NAME[.NAMESPACE]",
		Aliases: []string{"log"},
		Short:   "Print the log of a function",
		Long: `Prints the log of all replicas of a function. With --follow it continues until
Ctrl-C, even if the gateway restarts.`,
		Example: `  hearth logs oven
  hearth logs oven --follow --tail 20
  hearth logs oven --since 5m --timestamps
  hearth logs oven --json | jq -r .text`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if l.name, err = nameOf(args[0], namespace); err != nil {
				return err
			}
			if l.from, err = parseSince(l.since, time.Now()); err != nil {
				return err
			}
			if l.lines == 0 { // OpenFaaS takes 0 as all
				l.from, l.lines = time.Now(), -1
			}
			l.out, l.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return l.run(cmd.Context())
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "keep printing new lines")
	f.IntVar(&l.lines, "tail", -1, "number of last lines to print; -1 prints all")
	f.IntVar(&l.lines, "lines", -1, "same as --tail, for faas-cli users")
	_ = f.MarkHidden("lines")
	f.StringVar(&l.since, "since", "",
		"only lines newer than a duration (5m) or a time (2026-11-24T02:40:11Z)")
	f.StringVar(&l.instance, "instance", "", "only this replica")
	f.BoolVarP(&l.timestamps, "timestamps", "t", false, "print the time of each line")
	f.BoolVar(&l.prefix, "prefix", false, "print the replica of each line")
	return cmd
}

// parseSince parses a duration before now, or an RFC 3339 time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return at, fmt.Errorf("--since %q: want a duration such as 5m, or a time such as "+
			"2026-11-24T02:40:11Z", s)
	}
	return at, nil
}

// run prints until the log or ctx ends. A followed log survives interruptions, but not a refusal.
func (l *logReader) run(ctx context.Context) error {
	for {
		err := l.once(ctx)
		status := statusOf(err)
		switch {
		case ctx.Err() != nil:
			return nil
		case !l.follow, err != nil && !l.began, status >= http.StatusBadRequest &&
			status < http.StatusInternalServerError:
			return l.client.explain(ctx, l.name, err)
		case err == nil:
			l.pause = 100 * time.Millisecond
		default:
			if l.pause < time.Second {
				l.pause = time.Second
				_, _ = fmt.Fprintf(l.errOut, "hearth: %v; retrying\n", err)
			}
			l.pause = min(2*l.pause, maxPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(l.pause):
		}
	}
}

// once prints one response, without the messages of earlier ones.
func (l *logReader) once(ctx context.Context) error {
	res, err := l.client.send(ctx, http.MethodGet, "/system/logs?"+l.query().Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	l.began = true
	had, cut := maps.Clone(l.recent), l.oldest
	lines := json.NewDecoder(res.Body)
	for {
		var m logs.Message
		err := lines.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the log is incomplete: %w", err)
		}
		line := logLine{m.Timestamp.UnixNano(), m.Instance, m.Text}
		if had[line] > 0 {
			had[line]--
			continue
		}
		if l.lines > 0 && !m.Timestamp.After(cut) { // --tail excluded it from the first response
			continue
		}
		l.remember(line, m.Timestamp)
		if err := l.print(m); err != nil {
			return err
		}
	}
}

func (l *logReader) query() url.Values {
	q := url.Values{"name": {l.name.Function}, "namespace": {l.name.Namespace},
		"follow": {strconv.FormatBool(l.follow)}}
	from, tail := l.from, l.lines
	if !l.newest.IsZero() {
		from, tail = l.newest.Add(-logOverlap), -1
	}
	q.Set("tail", strconv.Itoa(tail))
	if !from.IsZero() {
		q.Set("since", from.UTC().Format(time.RFC3339Nano))
	}
	if l.instance != "" {
		q.Set("instance", l.instance)
	}
	return q
}

// remember keeps the messages that the next response may repeat.
func (l *logReader) remember(line logLine, at time.Time) {
	if !l.follow {
		return
	}
	if l.recent == nil {
		l.recent = map[logLine]int{}
	}
	if l.oldest.IsZero() {
		l.oldest = at
	}
	if at.After(l.newest) {
		l.newest = at
	}
	l.recent[line]++
	if len(l.recent) < max(l.tidyAt, 1000) {
		return
	}
	oldest := l.newest.Add(-logOverlap - time.Second).UnixNano() // a gateway may truncate times to seconds
	maps.DeleteFunc(l.recent, func(line logLine, _ int) bool { return line.at < oldest })
	l.tidyAt = 2 * len(l.recent)
}

func (l *logReader) print(m logs.Message) error {
	if l.client.json {
		return cli.WriteJSONLine(l.out, m)
	}
	text := strings.TrimRight(m.Text, "\r\n")
	if l.prefix {
		text = "[" + m.Instance + "] " + text
	}
	if l.timestamps {
		text = m.Timestamp.Format(time.RFC3339Nano) + " " + text
	}
	_, err := fmt.Fprintln(l.out, text)
	return err
}
