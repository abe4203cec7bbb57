// A session that moves to another network lives no longer than it must.
const settings = {}; // portcullis:settings

const moved = (device, asn) => Boolean(device?.initial_asn) && Boolean(asn) && device.initial_asn !== asn;

exports.onExecutePostLogin = async (event, api) => {
  const asn = event.request?.asn;
  if (settings.trusted_asns.includes(asn)) return;
  const session = event.session && moved(event.session.device, asn);
  const token = event.refresh_token && moved(event.refresh_token.device, asn);
  if (!session && !token) return;
  if (session && settings.on_change === "revoke") {
    api.session.revoke("network_changed");
    return;
  }
  const idle = Date.now() + settings.idle_minutes * 60000;
  const end = Date.now() + settings.lifetime_minutes * 60000;
  if (session) {
    api.session.setIdleExpiresAt(idle);
    api.session.setExpiresAt(end);
  }
  if (token) {
    api.refreshToken.setIdleExpiresAt(idle);
    api.refreshToken.setExpiresAt(end);
  }
};
