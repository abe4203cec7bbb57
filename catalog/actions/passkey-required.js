// Chosen users and applications log in with a passkey or not at all.
const settings = {}; // portcullis:settings

exports.onExecutePostLogin = async (event, api) => {
  if (event.transaction?.protocol === "oauth2-refresh-token") return;
  const chosen =
    settings.applications.includes(event.client?.client_id) || event.user?.app_metadata?.[settings.metadata_key] === true;
  if (!chosen) return;
  const methods = (event.authentication?.methods || []).map((method) => method.name);
  if (methods.includes("passkey")) return;
  api.access.deny(settings.message);
};
