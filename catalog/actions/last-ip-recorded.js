// Where a login came from, written down before the second factor is asked for: last_ip of the profile is not.
const settings = {}; // portcullis:settings

exports.onExecutePostLogin = async (event, api) => {
  if (event.transaction?.protocol === "oauth2-refresh-token") return;
  const ip = event.request?.ip;
  if (!ip || event.user?.app_metadata?.[settings.metadata_key]?.ip === ip) return;
  api.user.setAppMetadata(settings.metadata_key, {
    ip,
    asn: event.request.asn || "",
    country: event.request.geoip?.countryCode || "",
    at: new Date().toISOString(),
  });
};
