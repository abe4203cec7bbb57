// Who has not proved to own the e-mail address does not get in.
const settings = {}; // portcullis:settings

exports.onExecutePostLogin = async (event, api) => {
  if (!event.user?.email || event.user.email_verified === true) return;
  if (settings.exempt_connections.includes(event.connection?.name)) return;
  const age = Date.now() - Date.parse(event.user.created_at);
  if (age >= 0 && age < settings.grace_minutes * 60000) return;
  api.access.deny(settings.message);
};
