package tenantsim

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// reply answers with v as JSON.
func reply(status int, v any) *answer {
	if status == http.StatusNoContent {
		return &answer{status: status}
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fail(&apiError{status: http.StatusInternalServerError, message: "encode answer: " + err.Error()})
	}
	return &answer{status: status, body: body}
}

func fail(e *apiError) *answer {
	a := &answer{status: e.status, body: e.body()}
	if e.retryAfter != "" {
		a.set("Retry-After", e.retryAfter)
	}
	return a
}

// blockPage is what a request that a network ACL turns away gets; Auth0 does not document its status.
func blockPage() *answer {
	a := &answer{status: http.StatusForbidden, body: []byte("<!DOCTYPE html><title>Access denied</title><h1>Access denied</h1>\n")}
	a.set("Content-Type", "text/html; charset=utf-8")
	return a
}

func invalidQuery(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: "invalid_query_string", message: "Query validation error: " + fmt.Sprintf(format, args...)}
}

func tooManyRequests() *apiError {
	return &apiError{status: http.StatusTooManyRequests, code: "too_many_requests",
		message: "Too many requests. Check the X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset headers."}
}
