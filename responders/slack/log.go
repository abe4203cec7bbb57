package slack

import (
	"context"
	"log/slog"

	"portcullis/detections"
	"portcullis/responders"
)

// Log shows reports as log lines, for installations without Slack and for
// reports that Slack does not take.
type Log struct {
	logger *slog.Logger
}

var _ responders.Notifier = (*Log)(nil)

// NewLog makes a Log on logger; nil discards.
func NewLog(logger *slog.Logger) *Log {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Log{logger: logger}
}

// Notify writes one line "incident" for each transition, at level warn from
// severity high on and info below. A report without a transition moved only
// numbers and is not written. The error is always nil.
func (l *Log) Notify(ctx context.Context, r responders.Report) error {
	if r.Transition != "" {
		l.write(ctx, r)
	}
	return nil
}

func (l *Log) write(ctx context.Context, r responders.Report) {
	level := slog.LevelInfo
	if r.Incident.Severity.Rank() >= detections.High.Rank() {
		level = slog.LevelWarn
	}
	l.logger.Log(ctx, level, "incident",
		"incident", cut(visible(r.Incident.ID), valueSize),
		"tenant", clean(r.Incident.Tenant, valueSize),
		"state", clean(string(r.State), wordSize),
		"severity", clean(string(r.Incident.Severity), wordSize),
		"transition", clean(r.Transition, transitionSize),
		"text", Text(r))
}
