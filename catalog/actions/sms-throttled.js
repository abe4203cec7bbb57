// Logins that are about to cost a text message are counted for each application and each country.
const settings = {}; // portcullis:settings

const key = "portcullis-sms";

// The cache is shared and keeps little: the largest counts are worth keeping.
const largest = (counts) =>
  Object.fromEntries(
    Object.entries(counts)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 40),
  );

const read = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

exports.onExecutePostLogin = async (event, api) => {
  if (event.transaction?.protocol === "oauth2-refresh-token") return;
  const methods = (event.authentication?.methods || []).map((method) => method.name);
  if (methods.includes("mfa") || methods.includes("passkey")) return;
  const factors = (event.user?.enrolledFactors || []).map((factor) => factor.type);
  const enrols = settings.count_enrolment && factors.length === 0;
  if (!factors.includes("phone") && !enrols) return;

  const window = Math.floor(Date.now() / (settings.window_minutes * 60000));
  const application = event.client?.client_id || "";
  const country = event.request?.geoip?.countryCode || "";
  const kept = read(api.cache.get(key)?.value);
  const counts = kept?.window === window ? kept : { window, applications: {}, countries: {} };
  const byApplication = (counts.applications[application] || 0) + 1;
  const byCountry = (counts.countries[country] || 0) + 1;
  counts.applications = largest({ ...counts.applications, [application]: byApplication });
  counts.countries = largest({ ...counts.countries, [country]: byCountry });
  api.cache.set(key, JSON.stringify(counts), { ttl: settings.window_minutes * 60000 });
  if (byApplication <= settings.per_application && byCountry <= settings.per_country) return;
  api.access.deny(settings.message);
};
