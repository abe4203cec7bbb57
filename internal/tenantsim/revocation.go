package tenantsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// sessionPlan refuses what only the plans with the management of sessions have.
func (t *Tenant) sessionPlan() *apiError {
	if !t.opts.NoSessionManagement {
		return nil
	}
	return &apiError{status: http.StatusForbidden, code: "feature_not_enabled", message: "This feature is not part of the tenant's subscription"}
}

func (t *Tenant) serveSessions(req *request) *answer {
	return t.serveList(req, "sessions", func(a *account) (list []map[string]any, seqs []uint64) {
		a.dropSessions(func(s *session) bool { return s.ending.over() })
		for _, s := range a.sessions {
			list, seqs = append(list, s.json(a.id)), append(seqs, s.seq)
		}
		return list, seqs
	})
}

func (t *Tenant) serveTokens(req *request) *answer {
	return t.serveList(req, "tokens", func(a *account) (list []map[string]any, seqs []uint64) {
		a.dropTokens(func(r *refreshToken) bool { return r.ending.over() })
		for _, r := range a.tokens {
			list, seqs = append(list, r.json(a.id)), append(seqs, r.seq)
		}
		return list, seqs
	})
}

// serveList answers one page of a list of a user that goes on by cursor.
func (t *Tenant) serveList(req *request, key string, read func(*account) ([]map[string]any, []uint64)) *answer {
	a, problem := t.mustFind(req.segments()[1])
	if problem == nil {
		problem = t.sessionPlan()
	}
	if problem != nil {
		return fail(problem)
	}
	take, problem := queryInt(req.query, "take", revokePage, revokePageMax)
	if problem != nil {
		return fail(problem)
	}
	if take == 0 {
		return fail(invalidQuery("value 0 is less than minimum 1 on property take"))
	}
	var after uint64
	if req.query.Has("from") {
		var err error
		if after, err = strconv.ParseUint(req.query.Get("from"), 16, 64); err != nil {
			return fail(invalidQuery("the cursor on property from is not one"))
		}
	}
	t.expire(a)
	list, seqs := read(a)
	page := []map[string]any{}
	out := map[string]any{}
	for i, one := range list {
		if seqs[i] <= after {
			continue
		}
		if len(page) == take {
			out["next"] = strconv.FormatUint(seqs[i-1], 16)
			break
		}
		page = append(page, one)
	}
	out[key] = page
	return reply(http.StatusOK, out)
}

func (t *Tenant) serveToken1(req *request) *answer {
	if problem := t.sessionPlan(); problem != nil {
		return fail(problem)
	}
	a, _, r := t.ownerOf(req.segments()[1])
	if r == nil {
		return fail(notFound("The refresh token does not exist."))
	}
	return reply(http.StatusOK, r.json(a.id))
}

func accepted(summary string) changed { return changed{status: http.StatusAccepted, summary: summary} }

func (t *Tenant) deleteSessions(w write) (changed, *apiError) {
	a, problem := t.revocable(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	t.endSessions(a, func(*session) bool { return true })
	return accepted("Delete sessions for user"), nil
}

func (t *Tenant) deleteTokens(w write) (changed, *apiError) {
	a, problem := t.revocable(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	t.endTokens(a, func(*refreshToken) bool { return true })
	return accepted("Delete refresh tokens for a user"), nil
}

// revocable is the user whose sessions are to end, if the plan allows it.
func (t *Tenant) revocable(id string) (*account, *apiError) {
	if problem := t.sessionPlan(); problem != nil {
		return nil, problem
	}
	return t.mustFind(id)
}

var revokeAccessFields = fields{"session_id": isText(1, 255), "preserve_refresh_tokens": isBool}

func (t *Tenant) revokeAccess(w write) (changed, *apiError) {
	a, problem := t.revocable(w.ids[0])
	if problem != nil {
		return changed{}, problem
	}
	if text := revokeAccessFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	id, one := w.body["session_id"].(string)
	if one && !slices.ContainsFunc(a.sessions, func(s *session) bool { return s.id == id }) {
		return changed{}, notFound("The session does not exist.")
	}
	t.endSessions(a, func(s *session) bool { return !one || s.id == id })
	if w.body["preserve_refresh_tokens"] != true {
		t.endTokens(a, func(r *refreshToken) bool { return !one || r.session == id })
	}
	return accepted("Revokes selected resources for a user"), nil
}

func (t *Tenant) deleteSession(w write) (changed, *apiError) { return t.endSession(w, false) }
func (t *Tenant) revokeSession(w write) (changed, *apiError) { return t.endSession(w, true) }

func (t *Tenant) endSession(w write, tokensToo bool) (changed, *apiError) {
	if problem := t.sessionPlan(); problem != nil {
		return changed{}, problem
	}
	a, s, _ := t.ownerOf(w.ids[0])
	if s == nil {
		return changed{}, notFound("The session does not exist.")
	}
	t.endSessions(a, func(o *session) bool { return o == s })
	if !tokensToo {
		return accepted("Delete session"), nil
	}
	t.endTokens(a, func(r *refreshToken) bool { return r.session == s.id })
	return accepted("Revokes a session"), nil
}

func (t *Tenant) deleteToken(w write) (changed, *apiError) {
	if problem := t.sessionPlan(); problem != nil {
		return changed{}, problem
	}
	a, _, r := t.ownerOf(w.ids[0])
	if r == nil {
		return changed{}, notFound("The refresh token does not exist.")
	}
	t.endTokens(a, func(o *refreshToken) bool { return o == r })
	return accepted("Delete a refresh token"), nil
}

var revokeTokensFields = fields{"ids": listOf(revokePageMax, isText(1, 255)), "user_id": isText(1, 300), "client_id": isText(1, 64), "audience": isText(1, 600)}

// revokeTokens takes exactly one of: ids; user_id; user_id and client_id; the two and audience.
func (t *Tenant) revokeTokens(w write) (changed, *apiError) {
	if problem := t.sessionPlan(); problem != nil || t.opts.NoTokenRevocation {
		if problem == nil {
			problem = &apiError{status: http.StatusForbidden, code: "feature_not_enabled", message: "This feature is not enabled for this tenant"}
		}
		return changed{}, problem
	}
	if text := revokeTokensFields.check(w.body); text != "" {
		return changed{}, invalidBody("%s", text)
	}
	ids, byID := w.body["ids"].([]any)
	user, byUser := w.body["user_id"].(string)
	client, byClient := w.body["client_id"].(string)
	audience, byAudience := w.body["audience"].(string)
	if byID == byUser || byID && (byClient || byAudience) || byAudience && !byClient || byID && len(ids) == 0 {
		return changed{}, invalidBody("exactly one of ids, user_id, user_id with client_id, and user_id with client_id and audience is allowed")
	}
	for _, id := range ids { // those that are not there are passed over
		if a, _, r := t.ownerOf(fmt.Sprint(id)); r != nil {
			t.endTokens(a, func(o *refreshToken) bool { return o == r })
		}
	}
	if a := t.find(user); a != nil {
		t.endTokens(a, func(r *refreshToken) bool {
			return (!byClient || r.app.id == client) && (!byAudience || r.app.audience == audience)
		})
	}
	return accepted("Revoke refresh tokens"), nil
}
