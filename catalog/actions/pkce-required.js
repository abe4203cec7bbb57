// Codes are given only to who can prove, by PKCE, to have asked for them.
const settings = {}; // portcullis:settings

exports.onExecutePostLogin = async (event, api) => {
  if (settings.exempt_applications.includes(event.client?.client_id)) return;
  const query = event.request?.query || {};
  const types = (query.response_type || "").split(" ");
  if (!types.includes("code")) return;
  // The parameters of a pushed request are with Auth0 already, and cannot be seen here.
  if (query.request_uri) return;
  if (query.code_challenge && query.code_challenge_method === "S256") return;
  api.access.deny(settings.message);
};
