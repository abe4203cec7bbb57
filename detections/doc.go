// Package detections turns tenant log events into alerts and incidents.
//
// Rules are YAML files whose conditions are written in the expr language over
// Auth0's own field names. They are loaded and checked by [Load], and run by an
// [Engine], one for each tenant. The engine knows only event time: for the same
// events, rules and parameters it makes the same alerts, whatever the order of
// arrival within the allowed lateness, the batching, or duplicates.
package detections
