package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"portcullis/config"
	"portcullis/internal/httpapi"
	"portcullis/internal/journal"
	"portcullis/responders"
	"portcullis/responders/playbook"
)

// runRequest asks for a playbook on several subjects.
type runRequest struct {
	Tenant   string         `json:"tenant"`
	Playbook string         `json:"playbook"`
	Subjects []string       `json:"subjects"`
	Cause    playbook.Cause `json:"cause"`
}

// runBegun is what became of one subject of a request.
type runBegun struct {
	Subject string        `json:"subject"`
	Run     *playbook.Run `json:"run,omitempty"`
	Refused string        `json:"refused,omitempty"`
}

// runAnswer is a person's answer to a run of a tenant.
type runAnswer struct {
	Tenant string `json:"tenant"`
	playbook.Order
}

// answerRuns answers GET /v1/runs.
func (d *daemon) answerRuns(ctx context.Context, _ url.Values) (any, error) {
	return readRuns(ctx, d.journal)
}

func strictJSON(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return httpapi.Refusal{Err: fmt.Errorf("the request is not readable: %w", err)}
	}
	return nil
}

// runnerOf is what runs the playbooks of a tenant now.
func (d *daemon) runnerOf(name string) (*tenant, *playbook.Runner, error) {
	for _, t := range d.tenants {
		if t.name != name {
			continue
		}
		in := t.current.Load()
		if in == nil {
			return nil, nil, httpapi.Refusal{Err: errNotGuarded}
		}
		return t, in.life.runner, nil
	}
	return nil, nil, httpapi.Refusal{Err: fmt.Errorf("no tenant is called %q", name)}
}

// startRun answers POST /v1/runs.
func (d *daemon) startRun(ctx context.Context, body []byte) (any, error) {
	var q runRequest
	if err := strictJSON(body, &q); err != nil {
		return nil, err
	}
	t, runner, err := d.runnerOf(q.Tenant)
	if err != nil {
		return nil, err
	}
	return t.beginRuns(ctx, runner, q)
}

// beginRuns begins a run for each subject. One that is refused holds no other up.
func (t *tenant) beginRuns(ctx context.Context, runner *playbook.Runner, q runRequest) ([]runBegun, error) {
	if t.cfg.Load().Mode == responders.Observe {
		return nil, httpapi.Refusal{Err: hint(errors.New("the tenant's mode is observe: nothing is ever written"), "--dry-run shows what would be done; mode: propose lets what a person asks for be done")}
	}
	begun := []runBegun{}
	batch := ""
	if len(q.Subjects) > 1 {
		batch = playbook.RunID(t.name, q.Playbook, "batch", t.daemon.opts.now())
	}
	for _, subject := range q.Subjects {
		run, err := runner.Start(ctx, playbook.Request{Playbook: q.Playbook, Subject: subject, Batch: batch, Cause: q.Cause, Mode: string(responders.Enforce)})
		switch {
		case errors.Is(err, playbook.ErrRefused):
			begun = append(begun, runBegun{Subject: subject, Refused: err.Error()})
		case err != nil:
			return begun, err
		default:
			begun = append(begun, runBegun{Subject: subject, Run: &run})
		}
	}
	return begun, nil
}

// answerRun answers POST /v1/answers.
func (d *daemon) answerRun(ctx context.Context, body []byte) (any, error) {
	var a runAnswer
	if err := strictJSON(body, &a); err != nil {
		return nil, err
	}
	_, runner, err := d.runnerOf(a.Tenant)
	if err != nil {
		return nil, err
	}
	run, err := runner.Give(ctx, a.Order)
	if errors.Is(err, playbook.ErrRefused) {
		return nil, httpapi.Refusal{Err: err}
	}
	return run, err
}

// playbookDesk is who carries out what people ask of playbooks: the running
// daemon, or the store itself when none runs.
type playbookDesk struct {
	cfg    *config.Config
	daemon *daemon          // nil when another process guards
	runner *playbook.Runner // of the tenant, without a daemon
	tenant *tenant
}

// openDesk finds out whether a daemon runs.
func openDesk(ctx context.Context, std stdio, cfg *config.Config, content *config.Loaded, tenantName string) (*playbookDesk, error) {
	if cfg.Store.NATS != "" {
		return &playbookDesk{cfg: cfg}, nil
	}
	alone := *cfg
	alone.HTTP, alone.Slack = nil, nil
	d, err := newDaemon(ctx, &alone, content, newLogger(std.err, "text", false), daemonOptions{notifiers: []responders.Notifier{}})
	if errors.Is(err, journal.ErrInUse) {
		return &playbookDesk{cfg: cfg}, nil
	}
	if err != nil {
		return nil, err
	}
	for _, t := range d.tenants {
		if t.name == tenantName {
			if err := t.lease.Acquire(ctx, nil); err != nil {
				return nil, errors.Join(err, d.close())
			}
			runner, err := t.newRunner(ctx)
			if err != nil {
				return nil, errors.Join(err, d.close())
			}
			return &playbookDesk{cfg: cfg, daemon: d, tenant: t, runner: runner}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("no tenant is called %q", tenantName), d.close())
}

func (p *playbookDesk) close() error {
	if p.daemon == nil {
		return nil
	}
	return p.daemon.close()
}

// begin begins runs.
func (p *playbookDesk) begin(ctx context.Context, q runRequest) (begun []runBegun, err error) {
	if p.daemon != nil {
		return p.tenant.beginRuns(ctx, p.runner, q)
	}
	return begun, p.post(ctx, "/v1/runs", q, &begun)
}

// answer gives a run a person's answer.
func (p *playbookDesk) answer(ctx context.Context, a runAnswer) (run playbook.Run, err error) {
	if p.daemon == nil {
		return run, p.post(ctx, "/v1/answers", a, &run)
	}
	type answered struct {
		run playbook.Run
		err error
	}
	done := make(chan answered, 1)
	go func() {
		run, err := p.runner.Give(ctx, a.Order)
		done <- answered{run, err}
	}()
	for {
		select {
		case got := <-done:
			return got.run, got.err
		case <-p.runner.Wake():
			if _, err := p.runner.Step(ctx); err != nil {
				return run, err
			}
		}
	}
}

func (p *playbookDesk) post(ctx context.Context, path string, doc, into any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return callDaemon(ctx, p.cfg, http.MethodPost, path, body, into)
}

// runs reads all runs.
func (p *playbookDesk) runs(ctx context.Context) (runs []playbook.Run, err error) {
	if p.daemon != nil {
		return p.runner.Runs(), nil
	}
	return runs, askDaemon(ctx, p.cfg, "/v1/runs", &runs)
}

// watchEvery is how often runs are looked at while a person waits for them.
const watchEvery = 500 * time.Millisecond

// watch shows how runs go on, until none of them goes on by itself.
func (p *playbookDesk) watch(ctx context.Context, ids map[string]bool, show func(playbook.Run)) (last []playbook.Run, err error) {
	for {
		if p.daemon != nil {
			if _, err := p.runner.Step(ctx); err != nil {
				return last, err
			}
		}
		all, err := p.runs(ctx)
		if err != nil {
			return last, err
		}
		last = nil
		moving := false
		for _, run := range all {
			if ids[run.ID] {
				last = append(last, run)
				show(run)
				moving = moving || !run.Rests(time.Now(), time.Minute)
			}
		}
		if !moving {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(watchEvery):
		}
	}
}
