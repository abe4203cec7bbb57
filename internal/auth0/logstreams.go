package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// LogStream is one log stream of the tenant, without the credentials of its sink: those are read by nothing and kept nowhere.
type LogStream struct {
	ID   string
	Name string
	// Type is where it sends to: http, splunk, datadog, eventbridge, …
	Type string
	// Status is active, paused (by a person, or by Auth0 after 7 days of failures) or suspended (by Auth0).
	Status string
	// Endpoint is the URL that a stream of type http posts to.
	Endpoint string
	// Categories are the categories of events that it sends; all if empty.
	Categories []string
	// Prioritised streams carry only the few types that keep flowing when the tenant is under load.
	Prioritised bool
	// PIIMethod is how personal fields are made unreadable, mask or hash, and PIIFields which; "" if they are not.
	PIIMethod string
	PIIFields []string
}

// StreamActive is the status of a stream that sends.
const StreamActive = "active"

const logStreamsPath = apiPath + "/log-streams"

// LogStreams reads the tenant's log streams; scope read:log_streams. It is the least urgent of all calls: while less than
// half of the tenant's rate limit is left it is not sent, which is ErrRateLimited.
func (c *Client) LogStreams(ctx context.Context) ([]LogStream, error) {
	call := call{"list log streams", http.MethodGet, logStreamsPath}
	body, err := c.do(InLane(ctx, Observe), call, func(ctx context.Context) error {
		_, err := c.api.LogStreams.List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	list, err := decodeLogStreams(body)
	if err != nil {
		return nil, c.unreadable(call, err)
	}
	return list, nil
}

// sentStream is a log stream in the API's form.
type sentStream struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Priority bool   `json:"isPriority"`
	Sink     struct {
		Endpoint string `json:"httpEndpoint"`
	} `json:"sink"`
	Filters []struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"filters"`
	PII *struct {
		Fields []string `json:"log_fields"`
		Method string   `json:"method"`
	} `json:"pii_config"`
}

// decodeLogStreams reads the list itself: the SDK's union loses the streams of types that it does not know.
func decodeLogStreams(body []byte) ([]LogStream, error) {
	var list []sentStream
	if len(body) == 0 {
		return nil, errors.New("it is empty")
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	out := []LogStream{}
	for _, s := range list {
		one := LogStream{ID: s.ID, Name: s.Name, Type: s.Type, Status: s.Status, Endpoint: s.Sink.Endpoint, Prioritised: s.Priority}
		for _, f := range s.Filters {
			if f.Type == "category" {
				one.Categories = append(one.Categories, f.Name)
			}
		}
		if s.PII != nil && len(s.PII.Fields) > 0 {
			one.PIIMethod, one.PIIFields = s.PII.Method, s.PII.Fields
		}
		out = append(out, one)
	}
	return out, nil
}

// streamCategories are the categories that a stream may be filtered by, but for management.fail: no event is known to be in
// it, so that a stream without it lacks nothing.
var streamCategories = []string{
	"actions", "auth.login.fail", "auth.login.notification", "auth.login.success", "auth.logout.fail", "auth.logout.success",
	"auth.signup.fail", "auth.signup.success", "auth.silent_auth.fail", "auth.silent_auth.success", "auth.token_exchange.fail",
	"auth.token_exchange.success", "management.success", "other", "scim.event", "system.notification", "user.fail",
	"user.notification", "user.success",
}

// Lacks tells for people why the stream does not send everything as it is in the log; "" if it does.
func (s LogStream) Lacks() string {
	var why []string
	if s.Prioritised {
		why = append(why, "it is a prioritised stream, which carries a few event types only")
	}
	if len(s.Categories) > 0 {
		var missing []string
		for _, c := range streamCategories {
			if !slices.Contains(s.Categories, c) {
				missing = append(missing, c)
			}
		}
		if len(missing) > 0 {
			why = append(why, "its filters leave out "+strings.Join(missing, ", "))
		}
	}
	switch s.PIIMethod {
	case "":
	case "mask":
		why = append(why, "pii_config masks "+strings.Join(s.PIIFields, ", "))
	case "hash":
		why = append(why, "pii_config hashes "+strings.Join(s.PIIFields, ", "))
	default:
		why = append(why, fmt.Sprintf("pii_config changes (%s) %s", s.PIIMethod, strings.Join(s.PIIFields, ", ")))
	}
	return strings.Join(why, "; ")
}

// StreamTo finds the stream that posts to a path, whatever host and prefix a proxy has it under. Of several it is the one
// that sends most. If none names the path it is the only active stream of type http, or else the only active one of type
// splunk, which names no path; false if there is no such.
func StreamTo(list []LogStream, path string) (LogStream, bool) {
	var best *LogStream
	active := map[string][]*LogStream{}
	for i := range list {
		s := &list[i]
		if s.Status == StreamActive {
			active[s.Type] = append(active[s.Type], s)
		}
		if u, err := url.Parse(s.Endpoint); s.Type == "http" && err == nil && strings.HasSuffix(strings.TrimRight(u.Path, "/"), path) {
			if best == nil || s.sends() > best.sends() {
				best = s
			}
		}
	}
	for _, kind := range []string{"http", "splunk"} {
		if best == nil && len(active[kind]) == 1 {
			best = active[kind][0]
		}
	}
	if best == nil {
		return LogStream{}, false
	}
	return *best, true
}

// sends ranks streams by how much they send.
func (s *LogStream) sends() int {
	switch {
	case s.Status != StreamActive:
		return 0
	case s.Prioritised:
		return 1
	case s.Lacks() != "":
		return 2
	}
	return 3
}
