package detections_test

import (
	"fmt"
	"log"

	"portcullis/detections"
	"portcullis/logstream"
)

// exampleEvent makes an event of the log, as a source would.
func exampleEvent(format string, args ...any) logstream.Event {
	ev, err := logstream.Decode(fmt.Appendf(nil, format, args...))
	if err != nil {
		log.Fatal(err)
	}
	return ev
}

const exampleRule = `
id: stuffing
title: Failed logins of many users from one address
severity: high
params:
  failures: {default: 3, min: 1, doc: failed logins within the window}
where: type == "fp"
group_by: [ip]
window: 10m
having: count() > params.failures && distinct(user_name) > 2
evidence: {users: distinct(user_name)}
tests:
  - name: four users
    events: ['4 × {type: fp, ip: 198.51.100.7, user_name: "u{i}"} over 1m']
    alerts: [{group: {ip: 198.51.100.7}, count: 4}]
`

// Rules are loaded, an engine is made for a tenant, events go in, alerts come out.
func Example() {
	rules, err := detections.Load([]detections.File{{Name: "stuffing.yaml", Data: []byte(exampleRule)}}, nil)
	if err != nil {
		log.Fatal(err) // every problem, with file, line and column
	}
	engine, err := detections.NewEngine("acme", rules, detections.Options{
		Params: map[string]map[string]any{"stuffing": {"failures": 4}}, // the tenant's own
		OnChange: func(c detections.Change) {
			fmt.Println(c.Transition, c.Alert.Title, c.Alert.Group, c.Alert.Count, c.Alert.Evidence)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 6 {
		ev := exampleEvent(`{"log_id":"e%d","date":"2026-03-01T12:00:%02dZ","type":"fp","ip":"198.51.100.7","user_name":"u%d"}`, i, 10*i, i)
		engine.Ingest(&ev)
	}
	engine.Finish() // the file is over: every window closes
	// Output:
	// opened Failed logins of many users from one address map[ip:198.51.100.7] 5 map[users:5]
	// resolved Failed logins of many users from one address map[ip:198.51.100.7] 6 map[users:6]
}

// A mistake is told with its place and what was probably meant.
func ExampleLoad_problems() {
	_, err := detections.Load([]detections.File{{Name: "r.yaml", Data: []byte("id: r\ntitle: R\nseverity: low\nwhere: usr_id == \"x\"\n")}}, nil)
	fmt.Println(err)
	// Output:
	// r.yaml:4:8: r.where: unknown name usr_id (did you mean user_id?)
	//  4 | where: usr_id == "x"
	//             ^^^^^^
}

// The tests in a rule are run by go test and by portcullis test alike.
func ExampleRuleSet_RunTests() {
	rules, err := detections.Load([]detections.File{{Name: "stuffing.yaml", Data: []byte(exampleRule)}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range rules.RunTests(rules.Rule("stuffing"), nil) {
		fmt.Println(result.Name, len(result.Failures))
	}
	// Output:
	// four users 0
}

// An engine that goes on where another stopped tells nothing twice.
func ExampleEngine_Restore() {
	rules, err := detections.Load([]detections.File{{Name: "stuffing.yaml", Data: []byte(exampleRule)}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	live := detections.Options{Ahead: true, OnChange: func(c detections.Change) { fmt.Println(c.Transition, c.Alert.Count) }}
	before, err := detections.NewEngine("acme", rules, live)
	if err != nil {
		log.Fatal(err)
	}
	give := func(e *detections.Engine, i int) {
		ev := exampleEvent(`{"log_id":"e%d","date":"2026-03-01T12:00:%02dZ","type":"fp","ip":"198.51.100.7","user_name":"u%d"}`, i, i, i)
		e.Ingest(&ev)
	}
	for i := range 5 {
		give(before, i)
	}
	snapshot, err := before.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	after, err := detections.NewEngine("acme", rules, live)
	if err != nil {
		log.Fatal(err)
	}
	if err := after.Restore(snapshot); err != nil {
		log.Fatal(err)
	}
	give(after, 5)
	after.Finish()
	// Output:
	// opened 4
	// resolved 6
}
