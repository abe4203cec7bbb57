// No token travels in a URL.
const settings = {}; // portcullis:settings

exports.onExecutePostLogin = async (event, api) => {
  if (settings.exempt_applications.includes(event.client?.client_id)) return;
  const query = event.request?.query || {};
  const types = (query.response_type || "").split(" ");
  const posted = settings.allow_id_token_by_post && query.response_mode === "form_post";
  const exposed = types.includes("token") || (types.includes("id_token") && !posted);
  if (!exposed) return;
  api.access.deny(settings.message);
};
