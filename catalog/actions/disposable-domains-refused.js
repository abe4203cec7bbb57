// No sign-up with an address that is thrown away. The domains stand here as short hashes, so that thousands fit.
const { createHash } = require("crypto");

const settings = {}; // portcullis:settings

const known = (domain) => settings.domains.includes(createHash("sha256").update(domain).digest("base64url").slice(0, 6) + " ");

exports.onExecutePreUserRegistration = async (event, api) => {
  const labels = (event.user?.email || "").toLowerCase().split("@").pop().replace(/\.$/, "").split(".");
  if (labels.length < 2) return;
  // A domain is disposable when one above it is.
  const domains = labels.slice(0, -1).map((label, i) => labels.slice(i).join("."));
  if (domains.some((domain) => settings.allowed.includes(domain)) || !domains.some(known)) return;
  api.access.deny("disposable_domain", settings.message);
};
