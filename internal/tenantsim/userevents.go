package tenantsim

import "maps"

// Why a refresh token was refused, in event.count of fertft.
const (
	refusedRevoked = iota + 1
	refusedBlocked
)

// userEvents says which members the events of tell carry besides ip, user_id and user_name, after Auth0's schema.
var userEvents = map[string]struct{ client, strategy, host bool }{
	"scp": {client: true, strategy: true}, "fcp": {client: true, strategy: true}, "scpr": {client: true, strategy: true}, "fcpr": {client: true, strategy: true},
	"svr": {client: true, strategy: true}, "sce": {client: true, strategy: true}, "fn": {client: true}, "sdu": {},
	"connected_accounts_connection_succeeded": {client: true, host: true},
	"gd_unenroll": {}, "gd_enrollment_complete": {},
}

// tell logs what happened to an account.
func (t *Tenant) tell(a *account, typ, description string, from origin, details map[string]any) {
	t.tellOf(a, a.email, typ, description, from, details)
}

// tellOf is tell with the name that was typed; a is nil if there is no such account.
func (t *Tenant) tellOf(a *account, name, typ, description string, from origin, details map[string]any) {
	has := userEvents[typ]
	ev := t.plainEvent(typ, description)
	ev["user_name"], ev["user_id"] = name, ""
	conn, app := database, &apps[0]
	if a != nil {
		ev["user_id"], conn, app = a.id, a.identities[0].conn, a.app
	}
	if from.ip != "" {
		ev["ip"] = from.ip
	}
	if from.agent != nil {
		ev["user_agent"], ev["is_mobile"] = from.agent.raw, from.agent.mobile
	}
	if has.client {
		maps.Copy(ev, map[string]any{"client_id": app.id, "client_name": app.name, "connection": conn.name, "connection_id": conn.id})
	}
	if has.strategy {
		ev["strategy"], ev["strategy_type"] = conn.strategy, conn.kind
	}
	if has.host {
		ev["hostname"] = t.opts.CustomDomain
	}
	ev["details"] = orEmpty(details)
	t.emitMap(t.now, ev)
}
