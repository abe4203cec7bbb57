// A user whom Portcullis blocked is let in again after the reset that it sent, and nobody else is.
const settings = {}; // portcullis:settings

const timeout = 4000;

const send = async (path, method, headers, body) => {
  const response = await fetch("https://" + settings.domain + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(timeout),
  });
  return response.ok ? await response.json() : undefined;
};

const tokenFor = async (secret) => {
  const granted = await send("/oauth/token", "POST", {}, {
    grant_type: "client_credentials",
    client_id: settings.client_id,
    client_secret: secret,
    audience: "https://" + settings.domain + "/api/v2/",
  });
  return granted?.access_token;
};

// The marker of a case that is open, whose reset was sent, and to whose incident the address does not belong.
const openCase = (user, address) => {
  const marker = user?.app_metadata?.[settings.namespace];
  if (!marker?.case || !marker.reset_at || marker.unblocked_at) return undefined;
  if (!address || (marker.addresses || []).includes(address)) return undefined;
  return marker;
};

const unblock = async (event, marker) => {
  const token = await tokenFor(event.secrets.CLIENT_SECRET);
  if (!token) return "no token";
  const path = "/api/v2/users/" + encodeURIComponent(event.user.user_id);
  const headers = { authorization: "Bearer " + token };
  const user = await send(path + "?fields=blocked,app_metadata", "GET", headers);
  const now = openCase(user, event.request?.ip);
  if (user?.blocked !== true || now?.case !== marker.case) return "no open case";
  const closed = { ...now, unblocked_at: new Date().toISOString() };
  const done = await send(path, "PATCH", headers, { blocked: false, app_metadata: { [settings.namespace]: closed } });
  return done ? "" : "refused";
};

exports.onExecutePostChangePassword = async (event) => {
  const marker = openCase(event.user, event.request?.ip);
  if (!marker) return;
  try {
    const why = await unblock(event, marker);
    if (why) console.log("portcullis: not unblocked: " + why);
  } catch {
    console.log("portcullis: not unblocked: no answer");
  }
};
