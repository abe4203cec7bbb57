// Users whose metadata says so pass a second factor at each login.
const settings = {}; // portcullis:settings

const valueAt = (object, path) =>
  path.split(".").reduce((value, key) => (Object.hasOwn(Object(value), key) ? value[key] : undefined), object);

exports.onExecutePostLogin = async (event, api) => {
  const metadata = event.user?.app_metadata;
  if (!settings.metadata_keys.some((path) => valueAt(metadata, path) === true)) return;
  api.multifactor.enable("any", { allowRememberBrowser: false });
};
