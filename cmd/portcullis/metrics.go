package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"portcullis/detections"
	"portcullis/logstream"
)

// metrics reads what the parts of the daemon count, when it is asked.
type metrics struct{ d *daemon }

func newMetrics(d *daemon) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics{d})
	return reg
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("portcullis_"+name, help, labels, nil)
}

// The metrics, as docs/operations.md lists them.
var (
	mEvents     = desc("intake_events_total", "Events journaled and evaluated.", "tenant", "source")
	mDuplicates = desc("intake_duplicates_total", "Events seen before, by log_id.", "tenant", "source")
	mBundles    = desc("intake_bundles_total", "Bundles of events written to the journal.", "tenant")
	mQueue      = desc("intake_queue_length", "Deliveries that wait to be journaled.", "tenant")
	mFailing    = desc("intake_failing", "1 while events cannot be journaled.", "tenant")
	mSnapshots  = desc("snapshot_total", "Snapshots of the engine taken.", "tenant")
	mNotSaved   = desc("snapshot_failures_total", "Snapshots of the engine that were not kept.", "tenant")
	mSnapBytes  = desc("snapshot_size_bytes", "Size of the latest snapshot.", "tenant")
	mWebhook    = desc("webhook_requests_total", "Requests of the log stream, by what was answered.", "tenant", "answer")
	mWaiting    = desc("webhook_waiting", "Requests of the log stream that are being read or wait to be journaled.", "tenant")
	mNobodys    = desc("webhook_unknown_tokens_total", "Requests to the paths that webhooks share whose token was no tenant's.")
	mUnreadable = desc("unreadable_total", "Entries kept in the dead letter.")
	mLost       = desc("unreadable_not_kept_total", "Of these, not in the dead letter: it was full, or could not be written.")
	mVerdict    = desc("feed_verdict", "0 clear, 1 degraded, 2 blind.", "tenant", "source")
	mLag        = desc("feed_lag_seconds", "How far what arrives is behind.", "tenant", "source")
	mRate       = desc("feed_events_per_minute", "Events a minute over the last five minutes.", "tenant", "source")
	mUsual      = desc("feed_usual_events_per_minute", "Events a minute usual at this hour of the week; 0 until learned.", "tenant", "source")
	mGaps       = desc("feed_gaps_total", "Gaps in what the poll has read.", "tenant")
	mWatermark  = desc("engine_watermark_seconds", "Event time up to which all is settled, as Unix time.", "tenant")
	mLate       = desc("engine_late_events_total", "Events behind the watermark.", "tenant")
	mFuture     = desc("engine_future_events_total", "Events set aside: stamped in the future.", "tenant")
	mUndated    = desc("engine_undated_events_total", "Events without a time.", "tenant")
	mOpen       = desc("engine_open_alerts", "Alerts that are open.", "tenant")
	mRuleErrors = desc("engine_rule_errors_total", "Failed evaluations of a rule.", "tenant", "rule")
	mShed       = desc("engine_shed_total", "What a rule let go because a bound was reached.", "tenant", "rule", "what")
	mExcepted   = desc("engine_excepted_total", "Events and alerts that an exception swallowed.", "tenant", "rule", "where", "what")
	mGroups     = desc("engine_groups", "Groups of events that a rule keeps.", "tenant", "rule")
	mStateBytes = desc("engine_state_bytes", "About what a rule keeps, in bytes.", "tenant", "rule")
	mUnanswered = desc("responses_waiting", "Alerts with a change that the responder has not kept yet.", "tenant")
	mSlack      = desc("slack_waiting", "Messages, replies and updates that Slack has not taken yet.")
	mSlackFails = desc("slack_failures_total", "Requests that Slack refused, limited or did not answer.")
	mSlackLog   = desc("slack_logged_total", "Reports that went to the log because Slack did not take them in time.")
	mStore      = desc("store_bytes", "Size of a stream of the store.", "stream")
	mStoreMsgs  = desc("store_messages", "Messages in a stream of the store.", "stream")
	mFailures   = desc("tenant_failures_total", "Times that a tenant's guarding ended in a failure and began anew.", "tenant")
	mReady      = desc("tenant_guarded", "1 while this process guards the tenant, 0 while it recovers or stands by.", "tenant")
	mStandby    = desc("tenant_standby", "1 while another process guards the tenant.", "tenant")
)

// Describe is for package prometheus.
func (m metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect is for package prometheus.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter(mUnreadable, float64(m.d.letters.Count()))
	counter(mLost, float64(m.d.letters.Lost()))
	if m.d.shared != nil {
		counter(mNobodys, float64(m.d.shared.Refused()))
	}
	if m.d.slack != nil {
		s := m.d.slack.Stats()
		gauge(mSlack, float64(s.Waiting))
		counter(mSlackFails, float64(s.Failed))
		counter(mSlackLog, float64(s.Logged))
	}
	for _, t := range m.d.tenants {
		in := t.current.Load()
		gauge(mReady, oneIf(in != nil), t.name)
		gauge(mStandby, oneIf(t.standby.Load() != nil), t.name)
		counter(mFailures, float64(t.failures.Load()), t.name)
		if t.poll != nil {
			counter(mGaps, float64(t.gaps.Load()), t.name)
		}
		h := t.health(m.d.opts.now())
		for _, s := range h.Sources {
			gauge(mVerdict, float64(severityOf[s.Verdict]), t.name, s.Source)
			gauge(mLag, s.LagSeconds, t.name, s.Source)
			gauge(mRate, s.PerMinute, t.name, s.Source)
			gauge(mUsual, s.Usual, t.name, s.Source)
		}
		if t.webhook != nil {
			gauge(mWaiting, float64(t.webhook.Waiting()), t.name)
			for answer, n := range webhookAnswers(t.webhook.Stats()) {
				counter(mWebhook, float64(n), t.name, answer)
			}
		}
		if in == nil {
			continue
		}
		gauge(mQueue, float64(len(in.queue)), t.name)
		gauge(mUnanswered, float64(in.life.unanswered.length()), t.name)
		gauge(mFailing, oneIf(in.trouble.Load() != nil), t.name)
		s := in.stats.Load()
		if s == nil {
			continue
		}
		for source := range t.monitors {
			counter(mEvents, float64(s.Events[source]), t.name, source)
			counter(mDuplicates, float64(s.Duplicates[source]), t.name, source)
		}
		counter(mBundles, float64(s.Bundles), t.name)
		counter(mSnapshots, float64(s.Snapshots), t.name)
		counter(mNotSaved, float64(s.NotSaved), t.name)
		gauge(mSnapBytes, float64(s.SavedBytes), t.name)
		gauge(mOpen, float64(s.OpenAlerts), t.name)
		if !s.Watermark.IsZero() {
			gauge(mWatermark, float64(s.Watermark.UnixMilli())/1000, t.name)
		}
		counter(mLate, float64(s.Engine.Late), t.name)
		counter(mFuture, float64(s.Engine.Future), t.name)
		counter(mUndated, float64(s.Engine.Undated), t.name)
		for _, x := range s.Engine.Exceptions {
			counter(mExcepted, float64(x.Events), t.name, x.Rule, x.Where, "events")
			counter(mExcepted, float64(x.Alerts), t.name, x.Rule, x.Where, "alerts")
		}
		for _, rule := range t.content.Load().Rules.IDs() {
			counter(mRuleErrors, float64(s.Engine.RuleErrors[rule].Count), t.name, rule)
			gauge(mGroups, float64(s.Engine.State[rule].Groups), t.name, rule)
			gauge(mStateBytes, float64(s.Engine.State[rule].Bytes), t.name, rule)
			for _, what := range detections.Sheds {
				counter(mShed, float64(s.Engine.Shed[rule][what]), t.name, rule, what)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	streams, err := m.d.journal.Stats(ctx)
	if err != nil {
		return // the store is down: intake_failing tells
	}
	for _, s := range streams {
		gauge(mStore, float64(s.Bytes), s.Name)
		gauge(mStoreMsgs, float64(s.Messages), s.Name)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func webhookAnswers(s logstream.WebhookStats) map[string]uint64 {
	return map[string]uint64{
		"accepted": s.Accepted, "not_post": s.Method, "wrong_token": s.Token, "too_large": s.Size, "too_often": s.Rate, "busy": s.Busy,
		"unreadable": s.Decode, "failed": s.Failed, "broken_off": s.Aborted,
	}
}
