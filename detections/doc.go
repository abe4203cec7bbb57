// Package detections turns tenant log events into alerts and incidents.
//
// # Rules
//
// A rule is a YAML document whose conditions are written in the expr language
// over Auth0's own field names. [Load] reads rules, checks all that they say and
// returns a [RuleSet]; its error holds every problem with its place. What a rule
// may say, kind by kind, is in docs/rules.md. [RuleSet.RunTests] runs the tests
// that stand in a rule.
//
// # Engine
//
// [NewEngine] makes an engine for one tenant, with that tenant's parameters. It
// is given events with [Engine.Ingest], in any order, and tells of alerts through
// [Options.OnChange]: each opens once, is updated in place, and resolves.
//
// The engine knows only event time. A watermark follows the latest event, two
// minutes behind ([Options.Lateness]). For the same events, rules and parameters
// it makes the same alerts, whatever the order of arrival within the lateness,
// the batching, the duplicates, or a restart in between. A source without events
// moves the watermark with [Engine.Advance]; a file ends with [Engine.Finish].
//
// A live engine sets [Options.Ahead], so that an alert opens with the event that
// completes its evidence. Without it alerts open at the watermark. What an alert
// finally says is the same.
//
// # State
//
// [Engine.Snapshot] writes all that the engine knows between two events, and
// [Engine.Restore] reads it. Given the events since, the restored engine goes on
// as if it had never stopped. What each rule may keep is bounded by [Memory]; what
// was let go is in [Stats] and in [Alert.Notes]. [Engine.SetRules] puts other rules
// in place while windows of unchanged ones go on.
//
// # Incidents
//
// [Incidents] folds the changes of alerts into incidents, which is what people see.
package detections
