// Only addresses of your own networks may log in.
const { BlockList, isIP } = require("net");

const settings = {}; // portcullis:settings

const family = (address) => (isIP(address) === 6 ? "ipv6" : "ipv4");

const trusted = new BlockList();
for (const network of settings.networks) {
  const [address, bits] = network.split("/");
  trusted.addSubnet(address, Number(bits), family(address));
}

exports.onExecutePostLogin = async (event, api) => {
  if (settings.applications.length > 0 && !settings.applications.includes(event.client?.client_id)) return;
  // A refresh comes from the application's server as a rule, and not from the user's network.
  if (event.transaction?.protocol === "oauth2-refresh-token") return;
  const address = (event.request?.ip || "").replace(/^::ffff:(?=[\d.]+$)/i, "");
  if (isIP(address) !== 0 && trusted.check(address, family(address))) return;
  api.access.deny(settings.message);
};
