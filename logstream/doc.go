// Package logstream turns Auth0 tenant logs into events: it decodes every
// envelope a log event travels in, reads files and polls the Management API,
// and sets aside with a reason what cannot be decoded.
//
// An [Event] is decoded in one pass over its bytes that checks the JSON and
// notes where the top-level members stand; values are made only when a caller
// looks them up. The bytes are borrowed from the source, so an event is valid
// until the [Deliver] call that brought it returns; [Event.Clone] detaches it.
package logstream
