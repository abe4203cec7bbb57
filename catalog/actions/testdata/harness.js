// Runs an Action as Auth0 would, against a fake event and an api that writes down what was asked of it. The same file
// serves two engines: one that is part of every test run, and Node where it is installed.
//
// A case: {event, secrets, now, cache, repeat, answers}. The event is frozen. answers are what outgoing requests get, in
// order: {status, body}, or {fail: true} for a request that finds nobody. The result: {calls, requests, logs, threw}.
"use strict";

function freeze(value) {
  if (value !== null && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

// recorder is an object of any depth whose every method writes down its call.
function recorder(calls, path, special) {
  return new Proxy(function () {}, {
    get: (_, key) => (typeof key === "symbol" || key === "then" ? undefined : recorder(calls, path ? path + "." + key : key, special)),
    apply: (_, self, args) => {
      if (special[path]) return special[path](...args);
      calls.push([path, ...args]);
      return undefined;
    },
  });
}

function fakeCache(initial) {
  const kept = new Map(Object.entries(initial || {}));
  return {
    "cache.get": (key) => (kept.has(key) ? { value: kept.get(key) } : undefined),
    "cache.set": (key, value, options) => {
      if (key.length > 64 || value.length > 4096) return { type: "error", code: "ItemSizeExceeded" };
      if (!(options?.ttl > 0 && options.ttl <= 86400000)) return { type: "error", code: "BadTTL" };
      kept.set(key, value);
      return { type: "success" };
    },
  };
}

function fakeDate(now) {
  return class extends Date {
    constructor(...args) {
      if (args.length > 0) super(...args);
      else super(now);
    }
    static now() {
      return now;
    }
  };
}

async function runCase(code, handler, test, load) {
  const result = { calls: [], requests: [], logs: [], threw: "" };
  const answers = [...(test.answers || [])];
  const fetch = async (url, options) => {
    const { signal, ...sent } = options || {};
    result.requests.push({ url, ...sent, timeout: signal ? signal.timeout : 0 });
    const answer = answers.shift();
    if (!answer || answer.fail) throw new TypeError("fetch failed");
    return { ok: answer.status < 300, status: answer.status, json: async () => answer.body };
  };
  const log = (...args) => void result.logs.push(args.map(String).join(" "));
  const scope = {
    exports: {},
    require: load,
    console: { log, info: log, warn: log, error: log },
    fetch,
    AbortSignal: { timeout: (ms) => ({ timeout: ms }) },
    Date: fakeDate(Date.parse(test.now || "2026-03-02T09:00:00Z")),
  };
  try {
    new Function(...Object.keys(scope), code)(...Object.values(scope));
    const cache = fakeCache(test.cache);
    for (let i = 0; i < (test.repeat || 1); i++) {
      result.calls = [];
      const event = freeze({ ...structuredCopy(test.event || {}), secrets: { ...(test.secrets || {}) }, configuration: {} });
      await scope.exports[handler](event, recorder(result.calls, "", cache));
    }
  } catch (error) {
    result.threw = String(error);
  }
  return result;
}

function structuredCopy(value) {
  return JSON.parse(JSON.stringify(value));
}

if (typeof process !== "undefined" && typeof module !== "undefined" && require.main === module) {
  const jobs = JSON.parse(require("fs").readFileSync(0, "utf8"));
  (async () => {
    const results = [];
    for (const job of jobs) results.push(await runCase(job.code, job.handler, job.test, require));
    process.stdout.write(JSON.stringify(results));
  })();
}
