package tenantsim

import (
	"net/http"
	"slices"
)

// LogStream is a log stream as the API lists it. The simulated tenant sends nothing by it: it is there to be asked about.
type LogStream struct {
	ID         string // one is made if empty
	Name       string
	Type       string         // http, splunk, …
	Status     string         // active, paused, suspended; active if empty
	Sink       map[string]any // such as httpEndpoint, httpAuthorization
	Categories []string       // filters; everything if empty
	PIIMethod  string         // mask or hash of PIIFields; no pii_config if empty
	PIIFields  []string
	Priority   bool
}

// SetLogStreams replaces the tenant's log streams, as an administrator would.
func (t *Tenant) SetLogStreams(streams ...LogStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams = slices.Clone(streams)
	for i := range t.streams {
		s := &t.streams[i]
		if s.ID == "" {
			s.ID = "lst_" + hexID(t.ids.Uint64(), t.ids.Uint64())[:16]
		}
		setDefault(&s.Status, "active")
	}
}

// json is the stream in the API's form.
func (s *LogStream) json() map[string]any {
	filters := []any{}
	for _, c := range s.Categories {
		filters = append(filters, map[string]any{"type": "category", "name": c})
	}
	out := map[string]any{"id": s.ID, "name": s.Name, "type": s.Type, "status": s.Status, "sink": cloneJSON(s.Sink),
		"filters": filters, "isPriority": s.Priority}
	if s.PIIMethod != "" {
		pii := map[string]any{"log_fields": s.PIIFields, "method": s.PIIMethod}
		if s.PIIMethod == "hash" {
			pii["algorithm"] = "xxhash"
		}
		out["pii_config"] = pii
	}
	return out
}

// serveLogStreams answers the list, a bare array without pages.
func (t *Tenant) serveLogStreams(*request) *answer {
	list := []map[string]any{}
	for i := range t.streams {
		list = append(list, t.streams[i].json())
	}
	return reply(http.StatusOK, list)
}

func (t *Tenant) serveLogStream(req *request) *answer {
	_, id := splitPath(req.path)
	for i := range t.streams {
		if t.streams[i].ID == id {
			return reply(http.StatusOK, t.streams[i].json())
		}
	}
	return fail(notFound("The log stream does not exist"))
}
