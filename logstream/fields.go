package logstream

import "slices"

var knownFields = []string{
	"agent_id", "audience", "auth0_client", "client_id", "client_ip", "client_name", "connection",
	"connection_id", "date", "description", "details", "environment_name", "external_agent_id",
	"hostname", "identity_user_id", "ip", "is_mobile", "location_info", "log_id",
	"mtls_thumbprint_sha256", "organization_id", "organization_name", "references", "scope",
	"security_context", "session_connection", "strategy", "strategy_type", "tenant_name",
	"tracking_id", "transaction_linking_id", "type", "user_agent", "user_id", "user_name",
}

// KnownFields returns the names of the top-level members that Auth0 documents
// for its log events, sorted, by the streams' spelling. An event may carry
// others, and may lack any of these.
func KnownFields() []string { return slices.Clone(knownFields) }
