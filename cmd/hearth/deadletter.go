package main

import (
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
)

// deadSummary is a dead letter in the output of hearth dead list, without its call.
type deadSummary struct {
	Queue      string          `json:"queue"`
	ID         string          `json:"id"`
	Queued     time.Time       `json:"queued"`
	DeadSince  time.Time       `json:"dead_since"`
	Attempts   int             `json:"attempts"`
	Failures   []redis.Failure `json:"failures"` // oldest first
	Reason     string          `json:"reason"`
	Unreadable string          `json:"unreadable"` // why the message cannot be read, or ""

	// Deprecated: Buried is DeadSince under its old name.
	Buried time.Time `json:"buried"`
	// Deprecated: Bad is Unreadable under its old name.
	Bad string `json:"bad"`
}

// deadDetail is a dead letter in the output of hearth dead show and export, with its call.
type deadDetail struct {
	deadSummary
	CallID      string      `json:"call_id"`
	ContentType string      `json:"content_type"`
	Method      string      `json:"method"`
	Path        string      `json:"path"`
	Query       string      `json:"query"`
	Header      http.Header `json:"header"`
	Callback    string      `json:"callback"`
	Body        []byte      `json:"body"` // base64
}

func summaryOf(l queue.DeadLetter) deadSummary {
	return deadSummary{
		Queue:      l.Queue,
		ID:         l.ID,
		Queued:     l.Queued,
		DeadSince:  l.Buried,
		Attempts:   l.Attempts,
		Failures:   l.Failures,
		Reason:     l.Reason,
		Unreadable: l.Bad,
		Buried:     l.Buried,
		Bad:        l.Bad,
	}
}

func detailOf(l queue.DeadLetter) deadDetail {
	return deadDetail{
		deadSummary: summaryOf(l),
		CallID:      l.CallID,
		ContentType: l.ContentType,
		Method:      l.Method,
		Path:        l.Path,
		Query:       l.Query,
		Header:      l.Header,
		Callback:    l.Callback,
		Body:        l.Body,
	}
}
